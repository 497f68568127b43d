import { randomUUID } from 'node:crypto';
import type { Deadline, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { NotaryError } from '../notary/error.ts';
import { RequestError } from './error.ts';
import type { MethodTraits } from './method-traits.ts';

/** Shared, since an `abort()` without a reason makes an exception with a stack each time. */
const CALLER_GONE = new NotaryError('CANCELLED', 'the caller is gone or its deadline has passed');

/** What is known of one call, from its headers to its end. */
export class CallContext {
  /** Names the call in the log, and in INTERNAL errors. */
  readonly id = randomUUID().slice(-12);
  readonly startedAtMs = performance.now();
  readonly method: MethodTraits;
  readonly peer: string;
  /** By `Date.now()`; Infinity for none. */
  readonly deadlineMs: number;
  /** Name of the authenticated caller. */
  submitter: string | undefined;

  // For the log: set by handlers as soon as they have been parsed or answered.
  clusterId: string | undefined;
  anchorId: string | undefined;
  leafCount: number | undefined;
  error: unknown;

  #controller: AbortController | undefined;
  #ended = false;
  #handling = false;
  #release: (() => void) | undefined;
  #tellEnd: (() => void) | undefined;

  constructor(method: MethodTraits, call: ServerInterceptingCallInterface) {
    this.method = method;
    this.peer = call.getPeer();
    this.deadlineMs = toMilliseconds(call.getDeadline());
  }

  get expired(): boolean {
    return Date.now() >= this.deadlineMs;
  }

  /** Aborts when the call ends before its handler is done. Made on demand: most methods never ask. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#ended) this.#controller.abort(CALLER_GONE);
    return this.#controller.signal;
  }

  /** A deadline that has passed before work starts. @throws {RequestError} DEADLINE_EXCEEDED */
  throwIfExpired(): void {
    if (this.expired) {
      throw new RequestError('DEADLINE_EXCEEDED', 'the deadline passed before the call was handled');
    }
  }

  /** `release` runs once, when nothing works on the request any more: its handler, if it came to one, and the call. */
  onRequestDone(release: () => void): void {
    this.#release = release;
  }

  /** `told` runs once, when the call has a status or its stream is gone, whether or not its handler still works. */
  onEnd(told: () => void): void {
    if (this.#ended) told();
    else this.#tellEnd = told;
  }

  handlerStarted(): void {
    this.#handling = true;
  }

  /** The request is not needed any more, even while the answer is still being sent. */
  handlerSettled(): void {
    this.#handling = false;
    this.#controller = undefined;
    this.#releaseRequest();
  }

  /** The call has a status, or its stream is gone. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#handling) this.#controller?.abort(CALLER_GONE);
    else this.#releaseRequest();
    this.#tellEnd?.();
  }

  #releaseRequest(): void {
    this.#release?.();
    this.#release = undefined;
  }
}

function toMilliseconds(deadline: Deadline): number {
  return typeof deadline === 'number' ? deadline : deadline.getTime();
}
