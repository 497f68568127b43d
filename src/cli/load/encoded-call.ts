import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { Client as Channel, Metadata } from '@grpc/grpc-js';
import { decoder, methodPath } from '../../rpc/service-definition.ts';

export interface Endpoint {
  readonly address: string;
  readonly credentials: ChannelCredentials;
}

/** A big message through a full queue takes its time; one that never comes back must not keep the load for ever. */
const CALL_TIMEOUT_MS = 120_000;

/**
 * Sends requests whose bytes are made already: a load must not spend its time on encoding the same leaves again and again,
 * in a client that shares the machine with the server.
 */
export class EncodedCall<Output extends DescMessage> {
  readonly #channels: readonly Channel[];
  readonly #path: string;
  readonly #decode: (bytes: Uint8Array) => MessageShape<Output>;

  constructor(endpoints: readonly Endpoint[], method: DescMethod & { readonly output: Output }) {
    this.#channels = endpoints.map(({ address, credentials }) => new Channel(address, credentials));
    this.#path = methodPath(method);
    this.#decode = decoder(method.output);
  }

  /** Callers are spread over the endpoints. What it rejects with is a `ServiceError` of grpc-js. */
  send(request: Buffer, caller: number): Promise<MessageShape<Output>> {
    const channel = this.#channels[caller % this.#channels.length];
    if (channel === undefined) return Promise.reject(new Error('no endpoint to call'));
    return new Promise((resolve, reject) => {
      channel.makeUnaryRequest(
        this.#path,
        (bytes: Buffer) => bytes,
        this.#decode,
        request,
        new Metadata(),
        { deadline: Date.now() + CALL_TIMEOUT_MS },
        (error, response) => {
          if (error !== null) reject(error);
          else if (response === undefined) reject(new Error('a call was answered without a message'));
          else resolve(response);
        },
      );
    });
  }

  close(): void {
    for (const channel of this.#channels) channel.close();
  }
}
