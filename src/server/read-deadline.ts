import type { Metadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { CallContext } from './call-context.ts';
import type { CallStatus, Layering } from './call-layer.ts';
import { CallLayer } from './call-layer.ts';
import { RequestError } from './error.ts';
import { statusOf } from './status.ts';

/**
 * Reads that come without a deadline get one, so that a forgotten client holds nothing for ever. Writes do not: today's
 * gateway sends CreateAnchor without a deadline, and would answer one of ours by sending the same batch again.
 */
export function readDeadline(timeoutMs: number): Layering {
  return (below, context) => {
    const needed = context.method.read && context.deadlineMs === Number.POSITIVE_INFINITY;
    return needed ? new TimedCall(below, context, timeoutMs) : below;
  };
}

class TimedCall extends CallLayer {
  readonly #timeoutMs: number;
  #timer: NodeJS.Timeout | undefined;

  constructor(below: ServerInterceptingCallInterface, context: CallContext, timeoutMs: number) {
    super(below, context);
    this.#timeoutMs = timeoutMs;
  }

  override onReceiveMetadata(metadata: Metadata): void {
    this.#timer = setTimeout(() => {
      const message = `not answered within ${this.#timeoutMs} ms, the limit of calls without a deadline`;
      this.sendStatus(statusOf(new RequestError('DEADLINE_EXCEEDED', message), this.context));
    }, this.#timeoutMs);
    super.onReceiveMetadata(metadata);
  }

  override sendStatus(status: CallStatus): void {
    clearTimeout(this.#timer);
    super.sendStatus(status);
  }

  override onCancel(): void {
    clearTimeout(this.#timer);
    super.onCancel();
  }
}
