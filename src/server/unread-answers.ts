import type { ServerHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import type { MemoryBudget } from './memory-budget.ts';

export interface UnreadAnswersOptions {
  readonly readTimeoutMs: number;
  /** In milliseconds. */
  readonly now?: () => number;
}

interface Unread {
  readonly bytes: number;
  readonly sinceMs: number;
  readonly onGivenUp: () => void;
}

/**
 * Big answers that wait for their callers to read them, charged to the memory budget: a few bytes ask for an answer of
 * megabytes, and HTTP/2 flow control lets a caller leave it here for as long as its connection lives.
 *
 * As with senders, one past its time is given up only when another call needs the memory.
 */
export class UnreadAnswers {
  readonly #budget: MemoryBudget;
  readonly #readTimeoutMs: number;
  readonly #now: () => number;
  /** Oldest first. */
  readonly #unread = new Map<ServerHttp2Stream, Unread>();

  constructor(budget: MemoryBudget, options: UnreadAnswersOptions) {
    this.#budget = budget;
    this.#readTimeoutMs = options.readTimeoutMs;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Charges what is written but not yet let through, until `read` or the stream's end, or until it is given up. */
  add(stream: ServerHttp2Stream, bytes: number, onGivenUp: () => void): void {
    if (this.#unread.has(stream) || stream.destroyed) return;
    this.#budget.charge(bytes);
    this.#unread.set(stream, { bytes, sinceMs: this.#now(), onGivenUp });
    stream.once('close', () => this.read(stream));
  }

  /** Its caller has taken it, or is gone; again is harmless. */
  read(stream: ServerHttp2Stream): void {
    const unread = this.#unread.get(stream);
    if (unread === undefined) return;
    this.#unread.delete(stream);
    this.#budget.release(unread.bytes);
  }

  /** Gives up the oldest answer, if it is past its time. False where there is none. */
  evictOverdue(): boolean {
    for (const [stream, { sinceMs, onGivenUp }] of this.#unread) {
      if (sinceMs > this.#now() - this.#readTimeoutMs) return false;
      this.read(stream);
      onGivenUp();
      // gRPC clients take this for RESOURCE_EXHAUSTED (gRPC over HTTP2, "Errors").
      stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      return true;
    }
    return false;
  }
}
