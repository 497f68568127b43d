import type { Metadata, StatusObject } from '@grpc/grpc-js';

/** What came with a call, besides what makes it the same call as another. */
export interface CallerTerms {
  /** a signed note, verbatim; empty for none */
  readonly knownCheckpoint: string;
  /** whether it sent `leaves`, whose positions are listed in the answer */
  readonly listsLeaves: boolean;
  /** credentials among it; never written to disk */
  readonly metadata: Metadata;
  /** by `Date.now()`; Infinity for none */
  readonly deadlineMs: number;
}

export interface CallerEnds {
  readonly answer: (message: Buffer) => void;
  readonly refuse: (status: StatusObject) => void;
}

/** Timers of Node.js hold 31 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Of the time that a caller gives, kept for writing to disk and for the way back. */
const MARGIN_SHARE = 0.2;
const MARGIN_MS = { least: 20, most: 1_000 };

/** Somebody who waits for an anchor: until it is there, or the deadline is near, or nobody waits any more. */
export class WaitingCaller {
  readonly terms: CallerTerms;
  readonly #ends: CallerEnds;
  #isDone = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(terms: CallerTerms, ends: CallerEnds) {
    this.terms = terms;
    this.#ends = ends;
  }

  /** It has its answer or a status, or is gone. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Calls back once, when there is just enough time left to say that it has to come again. */
  beforeDeadline(giveUp: () => void): void {
    const leftMs = this.terms.deadlineMs - Date.now();
    const marginMs = Math.min(MARGIN_MS.most, Math.max(MARGIN_MS.least, leftMs * MARGIN_SHARE));
    if (leftMs < MAX_TIMER_MS) this.#timer = setTimeout(giveUp, leftMs - marginMs);
  }

  answer(message: Buffer): void {
    if (this.#end()) this.#ends.answer(message);
  }

  refuse(status: StatusObject): void {
    if (this.#end()) this.#ends.refuse(status);
  }

  /** The call was cancelled, or its connection broke. */
  gone(): void {
    this.#end();
  }

  #end(): boolean {
    if (this.#isDone) return false;
    this.#isDone = true;
    clearTimeout(this.#timer);
    return true;
  }
}
