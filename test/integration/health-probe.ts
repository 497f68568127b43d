import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { Client as Channel, ChannelCredentials } from '@grpc/grpc-js';

const STATUSES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'] as const;
type ServingStatus = (typeof STATUSES)[number];

/** A probe that knows grpc.health.v1 from its specification, and nothing of the server. */
export class HealthProbe {
  readonly #channel: Channel;

  constructor(address: string) {
    this.#channel = new Channel(address, ChannelCredentials.createInsecure());
  }

  check(service: string): Promise<ServingStatus> {
    return new Promise((resolve, reject) => {
      this.#channel.makeUnaryRequest(
        '/grpc.health.v1.Health/Check',
        encodeRequest,
        decodeResponse,
        service,
        (error, answer) => (error === null ? resolve(answer as ServingStatus) : reject(error)),
      );
    });
  }

  watch(service: string): { next(): Promise<ServingStatus | undefined> } {
    const call = this.#channel.makeServerStreamRequest(
      '/grpc.health.v1.Health/Watch',
      encodeRequest,
      decodeResponse,
      service,
    );
    // The server ends the stream when it goes.
    call.on('error', () => {});
    const answers = call[Symbol.asyncIterator]();
    return { next: async () => (await answers.next()).value as ServingStatus | undefined };
  }

  close(): void {
    this.#channel.close();
  }
}

/** HealthCheckRequest: `string service = 1`. */
function encodeRequest(service: string): Buffer {
  return Buffer.from(
    new BinaryWriter()
      .uint32((1 << 3) | 2)
      .string(service)
      .finish(),
  );
}

/** HealthCheckResponse: `ServingStatus status = 1`. */
function decodeResponse(bytes: Buffer): ServingStatus {
  const reader = new BinaryReader(bytes);
  const [field] = reader.tag();
  if (field !== 1) throw new Error(`field ${field} is not in a HealthCheckResponse`);
  return STATUSES[reader.int32()] ?? 'UNKNOWN';
}
