import { resolve } from 'node:path';
import { LockError } from '../../exclusive/lock-error.ts';
import { GatewayError } from '../error.ts';
import type {
  Backlog,
  BatchAnchor,
  DeadLetter,
  Outbox,
  OutboxContext,
  Refusal,
  SealedBatch,
  UnanchoredLeaf,
} from '../outbox.ts';
import { keepEvidence } from './evidence-file.ts';
import { failure } from './failure.ts';
import type { JournalFiles } from './file-system.ts';
import { GroupCommit } from './group-commit.ts';
import type { JournalLimits } from './journal-options.ts';
import { type JournalBatch, JournalState } from './journal-state.ts';
import { LEAF, MAX_EVENT_ID_BYTES } from './leaf-slabs.ts';
import { deadLetterOf, sealedBatchOf, unanchoredOf } from './read-state.ts';
import { LEAF_BYTES, LEAF_FRAME_BYTES, type RecordFrames } from './record-frames.ts';
import { recover } from './recovery.ts';
import { runsOf } from './runs.ts';
import { SegmentLog } from './segment-log.ts';

/** A journal that is open. */
interface Opened {
  readonly context: OutboxContext;
  readonly state: JournalState;
  readonly segments: SegmentLog;
  readonly commits: GroupCommit;
  readonly unlock: () => void;
  nextSequence: number;
  waitingLeaves: number;
}

/** The outbox over segment files; see {@link journalOutbox}. */
export class JournalOutbox implements Outbox {
  readonly kind = 'journal';
  readonly promise: string;
  readonly isShared = false;

  readonly #limits: JournalLimits;
  readonly #files: JournalFiles;
  readonly #directory: string;
  #opened: Opened | undefined;
  #isClosed = false;
  #isFailing = false;
  /** One new batch at a time: the next one begins where it ends. */
  #takes: Promise<unknown> = Promise.resolve();

  constructor(limits: JournalLimits, files: JournalFiles) {
    this.#limits = limits;
    this.#files = files;
    this.#directory = resolve(limits.directory);
    this.promise = limits.isSynced
      ? 'the end of this process and a crash of the machine'
      : 'the end of this process, but not a crash of the machine';
  }

  async open(context: OutboxContext): Promise<{ readonly checkpoints: readonly string[] }> {
    if (this.#opened !== undefined || this.#isClosed) {
      throw new GatewayError('OUTBOX_IN_USE', 'this outbox belongs to another gateway already');
    }
    const unlock = await this.#lock();
    try {
      this.#opened = await this.#recovered(context, unlock);
      return { checkpoints: [...this.#opened.state.checkpoints.values()].map(({ note }) => note) };
    } catch (error) {
      unlock();
      throw failure('read', this.#directory, error);
    }
  }

  async append(leaf: Uint8Array, eventId: string | undefined): Promise<number> {
    const opened = this.#open();
    if (leaf.length !== LEAF_BYTES) {
      throw new GatewayError('BAD_EVENT', `a leaf has ${LEAF_BYTES} bytes, not ${leaf.length}`);
    }
    const eventIdBytes = eventId === undefined ? undefined : encodeEventId(eventId);
    this.#checkRoom(opened, LEAF_FRAME_BYTES + (eventIdBytes?.length ?? 0));
    const sequence = opened.nextSequence++;
    const nowMs = wholeMs(opened.context.now());
    opened.waitingLeaves++;
    try {
      await opened.commits.write((frames) => frames.leaf(sequence, nowMs, leaf, eventIdBytes));
    } finally {
      opened.waitingLeaves--;
    }
    return sequence;
  }

  take(maxLeaves: number, mayBePartial: boolean): Promise<SealedBatch | undefined> {
    const taken = this.#takes.then(() => this.#take(maxLeaves, mayBePartial));
    this.#takes = taken.catch(() => {});
    return taken;
  }

  settle(batch: SealedBatch, anchor: BatchAnchor): Promise<boolean> {
    return this.#change(batch.requestId, false, (known, frames) => frames.settled(known, anchor.checkpoint));
  }

  split(batch: SealedBatch, parts: readonly SealedBatch[]): Promise<boolean> {
    const records = parts.map(({ requestId, etcdRevision, sequences }) => {
      return { requestId, etcdRevision, runs: runsOf(sequences) };
    });
    return this.#change(batch.requestId, false, (known, frames) => frames.split(known.requestId, records));
  }

  async bury(batch: SealedBatch, refusal: Refusal): Promise<boolean> {
    const nowMs = wholeMs(this.#open().context.now());
    return this.#change(batch.requestId, false, (known, frames) => frames.buried(known, refusal, nowMs));
  }

  async release(batch: SealedBatch): Promise<void> {
    this.#open().state.putBack(batch.requestId);
  }

  async *deadLetters(): AsyncGenerator<DeadLetter> {
    const { state } = this.#open();
    const dead = [...state.batches.values()].filter(({ burial }) => burial !== undefined);
    dead.sort((a, b) => (a.burial?.atMs ?? 0) - (b.burial?.atMs ?? 0));
    for (const batch of dead) {
      // It may have been revived since the listing began.
      if (state.batches.get(batch.requestId) !== batch || batch.burial === undefined) continue;
      yield deadLetterOf(state, batch, batch.burial);
    }
  }

  revive(id: string): Promise<boolean> {
    return this.#change(id, true, (known, frames) => frames.revived(known));
  }

  discard(id: string): Promise<boolean> {
    // Over is over, whether a leaf was anchored or given up: both are forgotten alike.
    return this.#change(id, true, (known, frames) => frames.settled(known, undefined));
  }

  async keepEvidence(evidence: string): Promise<string> {
    const { context } = this.#open();
    try {
      return await keepEvidence(this.#files, this.#directory, context.now(), evidence);
    } catch (error) {
      throw failure('keep evidence in', this.#directory, error);
    }
  }

  async backlog(): Promise<Backlog> {
    return this.#open().state.backlog();
  }

  async *unanchored(): AsyncGenerator<UnanchoredLeaf> {
    const { state } = this.#open();
    for (const sequence of state.leaves.all()) yield unanchoredOf(state, sequence);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const opened = this.#opened;
    if (opened === undefined) return;
    this.#opened = undefined;
    // What is in hand is only known to this process: the next one takes it again.
    await opened.commits.finish();
    try {
      await opened.segments.close();
    } finally {
      opened.unlock();
    }
  }

  async #lock(): Promise<() => void> {
    try {
      await this.#files.makeDirectory(this.#directory);
      return this.#files.lock(this.#directory);
    } catch (error) {
      if (error instanceof LockError && error.code === 'IN_USE') {
        throw new GatewayError('OUTBOX_IN_USE', error.message, { cause: error });
      }
      throw failure('open', this.#directory, error instanceof LockError ? error.cause : error);
    }
  }

  async #recovered(context: OutboxContext, unlock: () => void): Promise<Opened> {
    const { clusterId, log } = context;
    const { segmentBytes, isSynced } = this.#limits;
    const [files, directory] = [this.#files, this.#directory];
    const segments = new SegmentLog({ files, directory, clusterId, segmentBytes, isSynced });
    const state = new JournalState(segments);
    await recover({ files, directory, clusterId, log }, state, segments);
    const broken = state.finishReplay();
    const commits = new GroupCommit(segments, state, {
      failed: (error) => this.#failed(context, error),
      succeeded: () => this.#succeeded(context),
    });
    const writes: Promise<void>[] = [];
    for (const { batch, left } of broken) {
      const { requestId, etcdRevision, burial } = batch;
      const rest = { requestId: context.newRequestId(), etcdRevision, runs: left };
      log.error(
        { requestId, leftUnder: left.length === 0 ? undefined : rest.requestId },
        'a batch of the journal lost members with a damaged record; what is left of it goes on as another batch',
      );
      const parts = left.length === 0 || burial !== undefined ? [] : [rest];
      writes.push(
        commits.write((frames) => {
          frames.split(requestId, parts);
          if (left.length > 0 && burial !== undefined) frames.buried(rest, burial.refusal, burial.atMs);
        }),
      );
    }
    commits.start();
    try {
      await Promise.all(writes);
    } catch (error) {
      await segments.close();
      throw error;
    }
    await commits.idle();
    return { context, state, segments, commits, unlock, nextSequence: state.nextSequence, waitingLeaves: 0 };
  }

  async #take(maxLeaves: number, mayBePartial: boolean): Promise<SealedBatch | undefined> {
    const { context, state, commits } = this.#open();
    const ready = state.takeReady();
    if (ready !== undefined) return sealedBatchOf(state, ready);
    const unsealed = state.leaves.count(LEAF.queued);
    if (unsealed === 0 || (unsealed < maxLeaves && !mayBePartial)) return undefined;
    const runs = state.oldestQueued(maxLeaves);
    const requestId = context.newRequestId();
    const etcdRevision = context.etcdRevision();
    await commits.write((frames) => frames.sealed({ requestId, etcdRevision, runs }));
    const sealed = state.takeInHand(requestId);
    return sealed === undefined ? undefined : sealedBatchOf(state, sealed);
  }

  /** Writes what becomes of a batch. Of several that want to, the first one does; the others find it done. */
  async #change(
    requestId: string,
    isDead: boolean,
    record: (batch: JournalBatch, frames: RecordFrames) => void,
  ): Promise<boolean> {
    const { state, commits } = this.#open();
    for (;;) {
      const batch = state.batches.get(requestId);
      if (batch === undefined || (batch.burial !== undefined) !== isDead) return false;
      if (batch.busy === undefined) {
        batch.busy = commits.write((frames) => record(batch, frames));
        try {
          await batch.busy;
          return true;
        } finally {
          batch.busy = undefined;
        }
      }
      await batch.busy.catch(() => {});
    }
  }

  #checkRoom({ state, commits, segments, waitingLeaves }: Opened, recordBytes: number): void {
    const { maxLeaves, maxBytes } = this.#limits;
    if (state.leaves.total + waitingLeaves >= maxLeaves) {
      const deadLeaves = state.leaves.count(LEAF.dead);
      const dead = deadLeaves > 0 ? `, ${deadLeaves} of them dead letters` : '';
      throw new GatewayError(
        'OUTBOX_FULL',
        `the journal holds ${maxLeaves} leaves${dead}, as many as it may`,
      );
    }
    if (segments.bytes + commits.waitingBytes + recordBytes > maxBytes) {
      throw new GatewayError(
        'OUTBOX_FULL',
        `the files of the journal take ${maxBytes} bytes, as many as they may`,
      );
    }
  }

  #open(): Opened {
    if (this.#opened !== undefined) return this.#opened;
    if (this.#isClosed) throw new GatewayError('CLOSED', 'this outbox has been closed');
    throw new GatewayError('OUTBOX_FAILED', 'this outbox is not open');
  }

  /** Said once, however many writes fail. */
  #failed({ log }: OutboxContext, cause: unknown): GatewayError {
    const error = failure('write', this.#directory, cause);
    if (!this.#isFailing) log.error({ err: error }, error.message);
    this.#isFailing = true;
    return error;
  }

  #succeeded({ log }: OutboxContext): void {
    if (this.#isFailing) log.info({ directory: this.#directory }, 'the journal can be written again');
    this.#isFailing = false;
  }
}

function encodeEventId(eventId: string): Buffer {
  const bytes = Buffer.from(eventId);
  if (bytes.length > MAX_EVENT_ID_BYTES) {
    const most = `at most ${MAX_EVENT_ID_BYTES} bytes`;
    throw new GatewayError('BAD_EVENT', `an event id has ${most} of UTF-8, not ${bytes.length}`);
  }
  if (!eventId.isWellFormed()) throw new GatewayError('BAD_EVENT', 'an event id has a lone surrogate');
  return bytes;
}

function wholeMs(ms: number): number {
  return Math.max(0, Math.trunc(ms));
}
