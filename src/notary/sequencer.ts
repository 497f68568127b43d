import { NotaryError } from './error.ts';
import {
  type AnchorToSequence,
  GroupCommit,
  type GroupCommitOptions,
  rejectAll,
  type Sequenced,
  type Waiting,
} from './group-commit.ts';
import { asNotaryError, cancelled, databaseAway, shuttingDown } from './refusal.ts';

/** One statement takes at most this much. */
const MAX_GROUP_ANCHORS = 1000;
const MAX_GROUP_BYTES = 4 * 1024 * 1024;

export interface SequencerOptions extends Omit<GroupCommitOptions, 'isAbandoned' | 'onStep'> {
  readonly maxQueuedAnchors: number;
  /** How long callers wait for the database before they are told that the outcome is not known. */
  readonly outcomePatienceMs: number;
}

/**
 * The only writer of one cluster's log in this process, and its queue: while an append is in flight anchors queue, and go into
 * the next one together (`GroupCommit`). Nobody waits for the database for longer than `outcomePatienceMs`.
 */
export class Sequencer {
  readonly #options: SequencerOptions;
  readonly #groups: GroupCommit;
  readonly #queue: Waiting[] = [];
  readonly #byRequestId = new Map<string, Promise<Sequenced>>();
  #running: Promise<void> | undefined;
  /** Set while an append takes longer than callers are made to wait. */
  #inDoubt = false;
  #patience: NodeJS.Timeout | undefined;
  #abandoned = false;
  #inFlight: readonly Waiting[] = [];

  constructor(options: SequencerOptions) {
    this.#options = options;
    this.#groups = new GroupCommit({
      ...options,
      // Then everybody has been told that the outcome is not known.
      isAbandoned: () => this.#abandoned,
      // Callers wait that long for each step, not for all of them.
      onStep: () => this.#patience?.refresh(),
    });
  }

  /** Answers everybody who waits or comes, because the process ends: what is in flight may still be committed. */
  abandon(): void {
    this.#abandoned = true;
    this.#rejectInFlight(
      'the server is shutting down and does not know whether this anchor was committed; retry',
    );
    this.#rejectQueue(shuttingDown());
  }

  /**
   * Gives an anchor its place in the log. Equal request ids are merged: one is appended, the others get its entry.
   *
   * @throws NotaryError QUEUE_FULL, CANCELLED, STORAGE_UNAVAILABLE, OUTCOME_UNKNOWN, REJECTED_BY_STORAGE, and those of the log
   */
  async submit(anchor: AnchorToSequence): Promise<Sequenced> {
    const { requestId } = anchor;
    if (requestId === undefined) return this.#enqueue(anchor);
    for (;;) {
      const earlier = this.#byRequestId.get(requestId);
      if (earlier === undefined) break;
      // The earlier caller's failure (it may just have gone away) is not this caller's: then this one tries itself.
      const result = await earlier.catch(() => undefined);
      if (result !== undefined) return { kind: 'known', entry: result.entry };
      throwIfAborted(anchor);
    }
    const sequenced = this.#enqueue(anchor);
    this.#byRequestId.set(requestId, sequenced);
    try {
      return await sequenced;
    } finally {
      this.#byRequestId.delete(requestId);
    }
  }

  async #enqueue(anchor: AnchorToSequence): Promise<Sequenced> {
    throwIfAborted(anchor);
    if (this.#abandoned) throw shuttingDown();
    if (this.#inDoubt) throw databaseAway();
    if (this.#queue.length >= this.#options.maxQueuedAnchors) {
      throw new NotaryError('QUEUE_FULL', `${this.#queue.length} anchors wait for this cluster; retry later`);
    }
    return new Promise<Sequenced>((resolve, reject) => {
      this.#queue.push({ anchor, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    // Calls that arrived in the same turn of the event loop go together.
    await new Promise(setImmediate);
    while (this.#queue.length > 0) {
      const group = this.#take();
      if (group.length === 0) continue;
      this.#inFlight = group;
      this.#patience = setTimeout(() => this.#losePatience(), this.#options.outcomePatienceMs);
      try {
        await this.#groups.commit(group);
      } catch (error) {
        rejectAll(group, asNotaryError(error));
      }
      clearTimeout(this.#patience);
      this.#inDoubt = false;
      this.#inFlight = [];
    }
    // In the same turn as the last look at the queue: who comes after it starts the next run.
    this.#running = undefined;
  }

  #take(): Waiting[] {
    const group: Waiting[] = [];
    let bytes = 0;
    let taken = 0;
    for (const waiting of this.#queue) {
      if (group.length === MAX_GROUP_ANCHORS) break;
      const { byteLength, signal } = waiting.anchor;
      if (group.length > 0 && bytes + byteLength > MAX_GROUP_BYTES) break;
      taken++;
      if (signal.aborted) {
        waiting.reject(cancelled());
        continue;
      }
      group.push(waiting);
      bytes += byteLength;
    }
    this.#queue.splice(0, taken);
    return group;
  }

  #losePatience(): void {
    this.#inDoubt = true;
    this.#rejectInFlight(
      'the database did not say whether this anchor was committed; retry with the same request_id',
    );
    this.#rejectQueue(databaseAway());
  }

  #rejectInFlight(message: string): void {
    rejectAll(this.#inFlight, new NotaryError('OUTCOME_UNKNOWN', message));
  }

  #rejectQueue(error: NotaryError): void {
    rejectAll(this.#queue.splice(0), error);
  }
}

function throwIfAborted({ signal }: AnchorToSequence): void {
  if (signal.aborted) throw cancelled();
}
