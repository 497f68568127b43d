import type { ChannelCredentials, ChannelOptions } from '@grpc/grpc-js';
import { Client as Channel, Metadata } from '@grpc/grpc-js';

export interface Endpoint {
  readonly address: string;
  readonly credentials: ChannelCredentials;
}

/** A big message through a full queue takes its time; one that never comes back must not keep the load for ever. */
const CALL_TIMEOUT_MS = 120_000;

const asItIs = (bytes: Buffer): Buffer => bytes;

/**
 * Sends requests whose bytes are made already, and leaves answers as bytes: a load shares the machine with the server more
 * often than not, and what it spends on messages is missing there.
 */
export class EncodedCall {
  readonly #channels: readonly Channel[];
  readonly #path: string;

  /** @param path `/package.Service/Method` */
  constructor(endpoints: readonly Endpoint[], path: string, channelOptions: ChannelOptions = {}) {
    this.#channels = endpoints.map(
      ({ address, credentials }) => new Channel(address, credentials, channelOptions),
    );
    this.#path = path;
  }

  /** Callers are spread over the endpoints. What it rejects with is a `ServiceError` of grpc-js. */
  send(request: Buffer, caller: number): Promise<Buffer> {
    const channel = this.#channels[caller % this.#channels.length];
    if (channel === undefined) return Promise.reject(new Error('no endpoint to call'));
    const options = { deadline: Date.now() + CALL_TIMEOUT_MS };
    return new Promise((resolve, reject) => {
      channel.makeUnaryRequest(
        this.#path,
        asItIs,
        asItIs,
        request,
        new Metadata(),
        options,
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
