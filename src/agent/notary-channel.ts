// Calls to the notary as bytes: what an agent of an older version does not know passes through it unchanged.

import {
  type Client,
  type ClientReadableStream,
  type Deadline,
  type Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';

/** One call, on its way to the notary. */
export interface RawCall {
  /** `/package.Service/Method` */
  readonly path: string;
  readonly message: Buffer;
  readonly metadata: Metadata;
  readonly deadline: Deadline;
  /** The call fails with CANCELLED when it aborts. */
  readonly signal?: AbortSignal | undefined;
  readonly onHeaders?: ((headers: Metadata) => void) | undefined;
  /** Whether no answer in time means that the connection is no good; else its caller may just have had little time. */
  readonly timesOut?: boolean;
}

export interface RawAnswer {
  readonly message: Buffer;
  readonly trailers: Metadata;
}

/** One connection to the notary. Nothing connects before the first call. */
export class NotaryChannel {
  readonly #connect: () => Client;
  #client: Client | undefined;

  /** @param connect how to make a connection; called again after one that failed */
  constructor(connect: () => Client) {
    this.#connect = connect;
  }

  /** Rejects with an error of grpc-js. */
  unary(call: RawCall): Promise<RawAnswer> {
    return new Promise((resolve, reject) => {
      const client = this.#connected();
      let outcome: { readonly error: ServiceError | null; readonly message: Buffer | undefined } | undefined;
      const sent = client.makeUnaryRequest(
        call.path,
        asItIs,
        asItIs,
        call.message,
        call.metadata,
        { deadline: call.deadline },
        (error, message) => {
          outcome = { error, message };
        },
      );
      const cancel = () => sent.cancel();
      if (call.signal?.aborted) cancel();
      call.signal?.addEventListener('abort', cancel, { once: true });
      if (call.onHeaders !== undefined) sent.on('metadata', call.onHeaders);
      // Comes after the callback, and has the trailers of answers too.
      sent.on('status', ({ code, metadata }) => {
        call.signal?.removeEventListener('abort', cancel);
        if (code === status.UNAVAILABLE || (code === status.DEADLINE_EXCEEDED && call.timesOut === true)) {
          this.#forget(client);
        }
        if (outcome?.message !== undefined) resolve({ message: outcome.message, trailers: metadata });
        else
          reject(
            outcome?.error ?? Object.assign(new Error('no outcome'), { code: status.UNKNOWN, metadata }),
          );
      });
    });
  }

  stream(call: Omit<RawCall, 'signal' | 'onHeaders'>): ClientReadableStream<Buffer> {
    const { path, message, metadata, deadline } = call;
    return this.#connected().makeServerStreamRequest(path, asItIs, asItIs, message, metadata, { deadline });
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  /** Lets go of a connection; calls in flight end by themselves, the next one looks the name up again. */
  #forget(client: Client): void {
    if (this.#client === client) this.close();
  }

  #connected(): Client {
    this.#client ??= this.#connect();
    return this.#client;
  }
}

const asItIs = (message: Buffer): Buffer => message;

/** Written by each side of a connection for itself. */
const OWN_TO_A_HOP =
  /^(?:grpc-(?!status-details-bin$|retry-pushback-ms$).*|content-type|content-length|user-agent|date|te|host|connection|accept-encoding)$/;

/** What of a call's metadata passes to the other side. */
export function passedOn(metadata: Metadata): Metadata {
  const passed = metadata.clone();
  for (const name of Object.keys(metadata.getMap())) if (OWN_TO_A_HOP.test(name)) passed.remove(name);
  return passed;
}
