import type { Metadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';
import type { CallContext } from './call-context.ts';
import type { CallStatus, Layering } from './call-layer.ts';
import { CallLayer } from './call-layer.ts';
import { RequestError } from './error.ts';
import { statusOf } from './status.ts';

/** Knows whether the server takes calls, and which streams would keep it from closing. */
export class OpenCalls {
  #refusing = false;
  readonly #streams = new Set<TrackedStream>();

  readonly layer: Layering = (below, context) => {
    const { own, requestStream, responseStream } = context.method;
    if (this.#refusing && own) return new RefusedCall(below, context);
    return requestStream || responseStream ? new TrackedStream(below, context, this.#streams) : below;
  };

  get refusing(): boolean {
    return this.#refusing;
  }

  /** From now on calls are answered UNAVAILABLE, other than health and reflection: those tell why. */
  refuseNew(): void {
    this.#refusing = true;
  }

  /** Ends every stream: a client that watches would otherwise hold up a shutdown for ever. */
  endStreams(): void {
    for (const stream of this.#streams) stream.endForShutdown();
  }
}

class RefusedCall extends CallLayer {
  override onReceiveMetadata(): void {
    this.sendStatus(shuttingDown(this.context));
  }
}

class TrackedStream extends CallLayer {
  readonly #streams: Set<TrackedStream>;

  constructor(below: ServerInterceptingCallInterface, context: CallContext, streams: Set<TrackedStream>) {
    super(below, context);
    this.#streams = streams;
  }

  override onReceiveMetadata(metadata: Metadata): void {
    this.#streams.add(this);
    super.onReceiveMetadata(metadata);
  }

  override sendStatus(status: CallStatus): void {
    this.#streams.delete(this);
    super.sendStatus(status);
  }

  override onCancel(): void {
    this.#streams.delete(this);
    super.onCancel();
  }

  endForShutdown(): void {
    this.sendStatus(shuttingDown(this.context));
  }
}

function shuttingDown(context: CallContext): CallStatus {
  return statusOf(
    new RequestError('SHUTTING_DOWN', 'this server is shutting down: call another one'),
    context,
  );
}
