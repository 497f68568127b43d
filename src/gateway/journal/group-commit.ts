import { FRAME_HEADER_BYTES, frameBytesAt, kindAt } from './frame.ts';
import type { JournalState } from './journal-state.ts';
import type { RecordVisitor } from './read-record.ts';
import { readRecord } from './read-record.ts';
import { RecordFrames } from './record-frames.ts';
import type { SegmentLog } from './segment-log.ts';

/** Records that go to the disk together. */
interface Group {
  readonly frames: RecordFrames;
  readonly resolves: (() => void)[];
  readonly rejects: ((error: unknown) => void)[];
}

/** A group that has grown to so much is followed by another, so that nobody waits for a write without end. */
const GROUP_BYTES = 1024 * 1024;
/** How much is carried forward between two groups. */
const CARRIED_BYTES = 256 * 1024;

export interface GroupCommitEvents {
  /** Translates what a write failed with. */
  failed(error: unknown): Error;
  succeeded(): void;
}

/**
 * Group commit: records that come while a write is under way go into the next one. One write at a time, and the state is told
 * of records in their order in the files, once they are durable.
 */
export class GroupCommit {
  readonly #log: SegmentLog;
  readonly #state: JournalState;
  readonly #events: GroupCommitEvents;
  readonly #queue: Group[] = [];
  #spare: RecordFrames | undefined;
  #running: Promise<void> | undefined;
  #carrying: Iterator<(visitor: RecordVisitor) => void> | undefined;
  #cannotClean = false;
  #isFinishing = false;
  #waitingBytes = 0;

  constructor(log: SegmentLog, state: JournalState, events: GroupCommitEvents) {
    this.#log = log;
    this.#state = state;
    this.#events = events;
  }

  /** Of records that are not on disk yet. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Resolves when the records are on disk and the state knows. */
  write(records: (frames: RecordFrames) => void): Promise<void> {
    let group = this.#queue.at(-1);
    if (group === undefined || group.frames.length >= GROUP_BYTES) {
      group = { frames: this.#spare ?? new RecordFrames(), resolves: [], rejects: [] };
      this.#spare = undefined;
      this.#queue.push(group);
    }
    const { frames, resolves, rejects } = group;
    const before = frames.length;
    try {
      records(frames);
    } catch (error) {
      frames.cutTo(before);
      return Promise.reject(error);
    }
    this.#waitingBytes += frames.length - before;
    const written = new Promise<void>((resolve, reject) => {
      resolves.push(resolve);
      rejects.push(reject);
    });
    this.start();
    return written;
  }

  /** Writes what waits, and tidies up. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when everything is written and tidy. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Writes what waits, and tidies up no more: whoever ends has no time for that, and the next process does it. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // What is asked for in the same turn goes along.
    await Promise.resolve();
    while (this.#queue.length > 0 || this.#hasToTidy()) {
      await this.#tidy();
      const group = this.#queue.shift();
      if (group !== undefined) await this.#commit(group);
    }
    this.#running = undefined;
  }

  async #commit(group: Group): Promise<void> {
    const { frames, resolves, rejects } = group;
    try {
      await this.#persist(frames);
      this.#cannotClean = false;
      this.#events.succeeded();
      for (const resolve of resolves) resolve();
    } catch (error) {
      const told = this.#events.failed(error);
      for (const reject of rejects) reject(told);
    }
    this.#waitingBytes -= frames.length;
    if (frames.bytes.length <= 2 * GROUP_BYTES) {
      frames.cutTo(0);
      this.#spare = frames;
    }
  }

  async #persist(frames: RecordFrames): Promise<void> {
    const segment = await this.#log.write(frames, this.#state.nextSequence);
    this.#state.segment = segment;
    for (let at = 0; at < frames.length; ) {
      const end = at + frameBytesAt(frames.bytes, at);
      const body = frames.bytes.subarray(at + FRAME_HEADER_BYTES, end);
      readRecord(kindAt(frames.bytes, at), body, this.#state);
      at = end;
    }
  }

  #hasToTidy(): boolean {
    if (this.#cannotClean || this.#isFinishing) return false;
    return this.#log.hasUnneeded || this.#log.isWasteful;
  }

  /**
   * Between two groups, when the state is exactly what the files say: what was carried forward is written after all that is
   * known of it, and before all that becomes of it.
   */
  async #tidy(): Promise<void> {
    if (!this.#hasToTidy()) return;
    try {
      if (this.#log.hasUnneeded) {
        this.#carrying = undefined;
        await this.#log.removeUnneeded();
      } else {
        await this.#carry();
      }
    } catch (error) {
      // Nobody waits for it. It is tried again once something could be written.
      this.#cannotClean = true;
      this.#carrying = undefined;
      this.#events.failed(error);
    }
  }

  async #carry(): Promise<void> {
    const { oldest } = this.#log;
    if (oldest === undefined) return;
    this.#carrying ??= this.#state.recordsIn(oldest);
    const frames = new RecordFrames();
    while (frames.length < CARRIED_BYTES) {
      const { done, value } = this.#carrying.next();
      if (done) {
        this.#carrying = undefined;
        break;
      }
      value(frames);
    }
    if (frames.length > 0) await this.#persist(frames);
    // Without it, a segment that is never let go would be looked through for ever.
    else this.#cannotClean = !this.#log.hasUnneeded;
  }
}
