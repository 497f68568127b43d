import type { Sender } from './read-gate.ts';

/** Whoever sends faster than this is never ended for others: a whole outage of events gets through on a slow link. */
const MIN_BYTES_PER_MS = (64 * 1024) / 1_000;
/** A sender that is slow on the whole may pause for so long. */
const PAUSE_MS = 1_000;

/**
 * How one sender gets on. Judged by progress rather than by age: the oldest of many that are equally fast is the one nearest to
 * its end, and ending that one would have none of them ever finish.
 */
export class SenderProgress {
  readonly #sender: Sender;
  readonly #startedAtMs: number;
  readonly #announcedBytes: number;
  #seenBytes: number;
  /** Counted by looks, not by the clock: after the process was busy for a second, nothing could have come. */
  #pausedMs = 0;

  constructor(sender: Sender, nowMs: number) {
    this.#sender = sender;
    this.#startedAtMs = nowMs;
    this.#announcedBytes = sender.outstandingBytes;
    this.#seenBytes = this.#announcedBytes;
  }

  /** Sees what came since the look before, `intervalMs` ago. */
  look(intervalMs: number): void {
    const { outstandingBytes } = this.#sender;
    this.#pausedMs = outstandingBytes < this.#seenBytes ? 0 : this.#pausedMs + intervalMs;
    this.#seenBytes = outstandingBytes;
  }

  bytesPerMs(nowMs: number): number {
    return (this.#announcedBytes - this.#sender.outstandingBytes) / Math.max(1, nowMs - this.#startedAtMs);
  }

  /** Whether it may be ended for somebody who waits. */
  isTooSlow(nowMs: number, readTimeoutMs: number): boolean {
    if (this.#sender.decompressing) return false;
    if (this.bytesPerMs(nowMs) >= MIN_BYTES_PER_MS) return this.#pausedMs >= readTimeoutMs;
    return this.#pausedMs >= PAUSE_MS || nowMs - this.#startedAtMs >= readTimeoutMs;
  }
}
