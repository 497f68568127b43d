import type { ServerHttp2Stream } from 'node:http2';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/**
 * The HTTP/2 stream under a call.
 *
 * grpc-js offers interceptors no sight of a message before it has been received whole, so that neither its size nor its
 * speed could be bounded by them. Its lowest call keeps the stream in a private field; only this function knows that. It is
 * undefined where that has changed, and the call is then refused: better none than without bounds (the tests would notice).
 */
export function requestStreamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
  const stream: unknown = Reflect.get(call, 'stream');
  const looksRight =
    typeof stream === 'object' && stream !== null && 'pause' in stream && 'session' in stream;
  return looksRight ? (stream as ServerHttp2Stream) : undefined;
}

/**
 * Lets go of the chunks that a message was put together from. grpc-js keeps them in a private field until the next message of
 * the call, which never comes: every big message would be there twice for as long as its call lasts.
 */
export function forgetChunks(call: ServerInterceptingCallInterface): void {
  const decoder: unknown = Reflect.get(call, 'decoder');
  if (typeof decoder === 'object' && decoder !== null && 'readPartialMessage' in decoder) {
    decoder.readPartialMessage = [];
  }
}

/** Bytes before each message: compressed or not, and the length (gRPC over HTTP2, "Length-Prefixed-Message"). */
export const FRAME_HEADER_BYTES = 5;

export interface FrameHeader {
  readonly compressed: boolean;
  readonly messageBytes: number;
}

/** Finds the header of the first message in chunks of any size. */
export class FrameHeaderReader {
  #partial: Buffer | undefined;

  /** The header, once it is complete. */
  read(chunk: Buffer): FrameHeader | undefined {
    const bytes = this.#partial === undefined ? chunk : Buffer.concat([this.#partial, chunk]);
    if (bytes.byteLength < FRAME_HEADER_BYTES) {
      this.#partial = bytes;
      return undefined;
    }
    this.#partial = undefined;
    return { compressed: bytes[0] !== 0, messageBytes: bytes.readUInt32BE(1) };
  }
}
