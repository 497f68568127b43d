import type { ClientHttp2Session, ClientHttp2Stream, Settings } from 'node:http2';
import { connect, constants } from 'node:http2';
import { Metadata, status } from '@grpc/grpc-js';
import { STATUS_DETAILS, type StatusDetails, statusDetails } from '../../src/rpc/status-details.ts';

/** gRPC by hand over HTTP/2, for what no well-behaved client ever sends. */
export class RawConnection {
  readonly #session: ClientHttp2Session;

  constructor(port: number, settings: Settings = {}) {
    // Node's default of 10 MB would have the client itself cut off the answers to bigger messages.
    this.#session = connect(`http://127.0.0.1:${port}`, { settings, maxSessionMemory: 1_000 });
    this.#session.on('error', () => {});
  }

  open(path: string, headers: Record<string, string> = {}): RawCall {
    return new RawCall(
      this.#session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        ...headers,
      }),
    );
  }

  /** One call with one body. */
  async call(path: string, body: Uint8Array, headers: Record<string, string> = {}): Promise<RawAnswer> {
    const call = this.open(path, headers);
    call.stream.end(body);
    return call.answer;
  }

  get closed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  close(): void {
    this.#session.destroy();
  }
}

export interface RawAnswer {
  /** Name of the grpc-status; undefined where the stream ended without one. */
  readonly code: string | undefined;
  /** Of the RST_STREAM that ended it, 0 where there was none (RFC 9113, section 7). */
  readonly rstCode: number;
  readonly message: string;
  readonly details: StatusDetails | undefined;
  readonly httpStatus: unknown;
  readonly body: Buffer;
}

export class RawCall {
  readonly stream: ClientHttp2Stream;
  readonly answer: Promise<RawAnswer>;

  constructor(stream: ClientHttp2Stream) {
    this.stream = stream;
    this.answer = new Promise((resolve) => {
      let headers: Record<string, unknown> = {};
      const chunks: Buffer[] = [];
      stream.on('response', (received) => {
        headers = { ...headers, ...received };
      });
      stream.on('trailers', (received) => {
        headers = { ...headers, ...received };
      });
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', () => {});
      const answered = () => {
        const code = headers['grpc-status'];
        resolve({
          code: code === undefined ? undefined : status[Number(code)],
          rstCode: stream.rstCode ?? 0,
          message: decodeURIComponent(String(headers['grpc-message'] ?? '')),
          details: detailsOf(headers[STATUS_DETAILS]),
          httpStatus: headers[':status'],
          body: Buffer.concat(chunks),
        });
        // As clients do on an answer that comes before they have sent everything.
        stream.close(constants.NGHTTP2_CANCEL);
      };
      stream.on('end', answered);
      stream.on('close', answered);
    });
  }
}

function detailsOf(trailer: unknown): StatusDetails | undefined {
  if (typeof trailer !== 'string') return undefined;
  const metadata = new Metadata();
  metadata.set(STATUS_DETAILS, Buffer.from(trailer, 'base64'));
  return statusDetails({ metadata });
}

/** A message as gRPC frames it. */
export function frame(message: Uint8Array, compressed = false, announcedBytes = message.byteLength): Buffer {
  const header = Buffer.alloc(5);
  header[0] = compressed ? 1 : 0;
  header.writeUInt32BE(announcedBytes, 1);
  return Buffer.concat([header, message]);
}

export const CREATE_ANCHOR = '/quartermaster.v1.QuartermasterNotary/CreateAnchor';
export const GET_CHECKPOINT = '/quartermaster.v1.QuartermasterNotary/GetCheckpoint';
export const BATCH_GET = '/quartermaster.v1.QuartermasterNotary/BatchGetInclusionProofs';
