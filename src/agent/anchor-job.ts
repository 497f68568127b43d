import type { StatusObject } from '@grpc/grpc-js';
import type { StoredCall } from './call-files.ts';
import type { CallContent } from './content-key.ts';
import type { SpooledCall } from './spooled-call.ts';
import type { WaitingCaller } from './waiting-caller.ts';

/** A call as it came from its first caller, while it is in memory. */
export interface CallInMemory extends SpooledCall {
  /** the caller that brought it, and its own message */
  readonly first: { readonly caller: WaitingCaller; readonly message: Buffer } | undefined;
  /** Runs once, when nothing of it is needed any more. */
  readonly release: () => void;
}

/** One batch on its way to the notary, and everybody who waits for it: callers with the same content share it. */
export class AnchorJob {
  readonly contentKey: string;
  readonly content: Omit<CallContent, 'packedLeaves'>;
  readonly requestId: string;
  readonly leafCount: number;
  /** until it is on disk, or done with */
  inMemory: CallInMemory | undefined;
  /** Its place in the spool; 0 where it is not there, nor on its way there. */
  sequence = 0;
  /** The newest one before it that it must not overtake; 0 for none. */
  after = 0;
  /** resolves to its place on disk, or rejects */
  keeping: Promise<StoredCall> | undefined;
  stored: StoredCall | undefined;
  isTrying = false;
  wasTried = false;
  /** Its notary refused the checkpoint that came with it. */
  withoutCheckpoint = false;
  /** A caller was told that the batch will be anchored. */
  isPromised = false;
  readonly #callers = new Set<WaitingCaller>();

  constructor(
    contentKey: string,
    call: Omit<CallContent, 'packedLeaves'> & { readonly requestId: string; readonly leafCount: number },
  ) {
    this.contentKey = contentKey;
    const { clusterId, etcdRevision, givenRequestId } = call;
    this.content = { clusterId, etcdRevision, givenRequestId };
    this.requestId = call.requestId;
    this.leafCount = call.leafCount;
  }

  static fromDisk(stored: StoredCall): AnchorJob {
    const job = new AnchorJob(stored.header.contentKey, stored.header);
    job.sequence = stored.sequence;
    job.after = stored.header.after;
    job.stored = stored;
    job.keeping = Promise.resolve(stored);
    // It may have been, before this process.
    job.isPromised = true;
    return job;
  }

  add(caller: WaitingCaller): void {
    this.#callers.add(caller);
  }

  remove(caller: WaitingCaller): void {
    this.#callers.delete(caller);
  }

  /** Who still waits, in the order of their coming. */
  get callers(): readonly WaitingCaller[] {
    return [...this.#callers].filter(({ isDone }) => !isDone);
  }

  refuseAll(status: StatusObject): void {
    for (const caller of this.callers) caller.refuse(status);
    this.#callers.clear();
  }

  /** Lets go of the leaves. */
  release(): void {
    this.inMemory?.release();
    this.inMemory = undefined;
  }
}
