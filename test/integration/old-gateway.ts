import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Client as Channel, ChannelCredentials } from '@grpc/grpc-js';

export interface OldAnswer {
  readonly anchorId: string;
  readonly leafCount: number;
  /** Of the whole message. */
  readonly byteLength: number;
}

/**
 * A gateway as it was built before this server: it knows three fields of the request and two of the answer, sends its whole
 * buffer in one call without credentials, deadline or request_id, and accepts answers of 4 MiB (the defaults of gRPC).
 */
export class OldGateway {
  readonly #channel: Channel;

  constructor(address: string) {
    this.#channel = new Channel(address, ChannelCredentials.createInsecure());
  }

  anchor(clusterId: string, leaves: readonly Uint8Array[], etcdRevision: bigint): Promise<OldAnswer> {
    return new Promise((resolve, reject) => {
      this.#channel.makeUnaryRequest(
        '/quartermaster.v1.QuartermasterNotary/CreateAnchor',
        (message: Buffer) => message,
        readAnswer,
        writeRequest(clusterId, leaves, etcdRevision),
        (error, answer) => (error === null ? resolve(answer as OldAnswer) : reject(error)),
      );
    });
  }

  close(): void {
    this.#channel.close();
  }
}

/** `string cluster_id = 1; repeated bytes leaves = 2; int64 etcd_revision = 3;` */
function writeRequest(clusterId: string, leaves: readonly Uint8Array[], etcdRevision: bigint): Buffer {
  const writer = new BinaryWriter().tag(1, WireType.LengthDelimited).string(clusterId);
  for (const leaf of leaves) writer.tag(2, WireType.LengthDelimited).bytes(leaf);
  if (etcdRevision !== 0n) writer.tag(3, WireType.Varint).int64(etcdRevision);
  return Buffer.from(writer.finish());
}

/** `string anchor_id = 1; uint32 leaf_count = 2;` and whatever newer servers say. */
function readAnswer(bytes: Buffer): OldAnswer {
  const answer = { anchorId: '', leafCount: 0, byteLength: bytes.byteLength };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) answer.anchorId = reader.string();
    else if (field === 2) answer.leafCount = reader.uint32();
    else reader.skip(wireType, field);
  }
  return answer;
}
