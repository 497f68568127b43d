import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Client as Channel, ChannelCredentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseRecord } from '../../src/record/index.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { CarefulCaller, leavesNamed, receiptOf } from './careful-caller.ts';
import { OldGateway } from './old-gateway.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';

// What other people's programs rely on, with the real program and its default limits.

let database: TestDatabase;
let server: ServerProcess;
beforeAll(async () => {
  database = await openTestDatabase();
  const environment = { QUARTERMASTER_REFLECTION: 'true' };
  server = await startServerProcess({ databaseUrl: database.databaseUrl, environment });
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
});

describe('the gateway that exists', () => {
  const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
  let gateway: OldGateway;
  beforeAll(() => {
    gateway = new OldGateway(server.address);
  });
  afterAll(() => gateway.close());

  // Seen red with leaf_indices of 15 bytes each.
  test('gets its whole buffer of 300,000 leaves anchored in one call, in an answer that it accepts', async () => {
    const caller = await CarefulCaller.ofNewCluster(server, server.seed);
    const leaves = Array.from({ length: 300_000 }, (_, i) => numberedLeaf(i));
    const answer = await gateway.anchor(caller.clusterId, leaves, 12_345n);
    expect(answer).toMatchObject({ anchorId: expect.stringMatching(UUID_V7), leafCount: 300_000 });
    expect(answer.byteLength).toBeLessThan(4 * 1024 * 1024);

    // What it stored, anchor_id and position, proves any of its events.
    const packed = Buffer.concat(leaves);
    for (const leafIndex of [0, 255, 65_536, 299_999]) {
      const { receipt } = await server.notary.getInclusionProof({ anchorId: answer.anchorId, leafIndex });
      const verdict = caller.verify(receiptOf(receipt), packed, answer.anchorId, leafIndex);
      expect(verdict).toMatchObject({ leafCount: 300_000, etcdRevision: 12_345n });
      expect(verdict.requestId).toBeUndefined();
    }
  });

  test('may send the same leaves twice, which makes two anchors', async () => {
    const caller = await CarefulCaller.ofNewCluster(server, server.seed);
    const leaves = [leavesNamed('again')];
    const answers = [
      await gateway.anchor(caller.clusterId, leaves, 0n),
      await gateway.anchor(caller.clusterId, leaves, 0n),
    ];
    expect(new Set(answers.map(({ anchorId }) => anchorId)).size).toBe(2);
    const { anchors } = await server.notary.listAnchors({ clusterId: caller.clusterId });
    expect(anchors.map(({ anchorId }) => anchorId)).toEqual(answers.map(({ anchorId }) => anchorId));
    expect(anchors.map(({ record }) => parseRecord(record))).toEqual(
      answers.map(() => expect.objectContaining({ kind: 'anchor', etcdRevision: 0n, leafCount: 1 })),
    );
  });
});

describe('server reflection', () => {
  const SERVICES = [
    'grpc.health.v1.Health',
    'quartermaster.v1.QuartermasterNotary',
    'quartermaster.v1.QuartermasterRegistry',
  ];
  const LIST_SERVICES = 7;
  const FILE_BY_FILENAME = 3;
  const FILE_CONTAINING_SYMBOL = 4;
  const versions = ['v1', 'v1alpha'];

  test.each(versions)('%s lists the services', async (version) => {
    const listed = await askReflection(server.address, version, LIST_SERVICES, '*');
    // ServerReflectionResponse: `ListServiceResponse list_services_response = 6`; of it `repeated ServiceResponse service = 1`.
    const names = fieldsOf(fieldsOf(listed, 6)[0]!, 1).map((service) => fieldsOf(service, 1)[0]!.toString());
    expect(names).toEqual(expect.arrayContaining(SERVICES));
  });

  test.each(versions)('%s describes each of them', async (version) => {
    for (const service of SERVICES) {
      const described = await askReflection(server.address, version, FILE_CONTAINING_SYMBOL, service);
      // `FileDescriptorResponse file_descriptor_response = 4`; of it `repeated bytes file_descriptor_proto = 1`.
      const files = fieldsOf(fieldsOf(described, 4)[0]!, 1).map((file) =>
        fromBinary(FileDescriptorProtoSchema, file),
      );
      const named = files.flatMap((file) => file.service.map(({ name }) => `${file.package}.${name}`));
      expect(named).toContain(service);
      // Everything that it imports comes with it, or can be asked for.
      for (const dependency of files.flatMap((file) => file.dependency)) {
        const found = await askReflection(server.address, version, FILE_BY_FILENAME, dependency);
        expect(fieldsOf(found, 4)).toHaveLength(1);
      }
    }
  });

  test('is not there unless it is switched on', async () => {
    const silent = await startServerProcess({ databaseUrl: database.databaseUrl });
    await expect(askReflection(silent.address, 'v1', LIST_SERVICES, '*')).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
    });
    await silent.kill('SIGTERM');
  });
});

/** A question of one string field, as ServerReflectionRequest has it. */
function askReflection(address: string, version: string, field: number, value: string): Promise<Buffer> {
  const channel = new Channel(address, ChannelCredentials.createInsecure());
  const call = channel.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    (message: Buffer) => message,
    (message: Buffer) => message,
  );
  return new Promise<Buffer>((resolve, reject) => {
    call.on('data', (answer: Buffer) => {
      resolve(answer);
      call.end();
    });
    call.on('error', reject);
    call.write(Buffer.from(new BinaryWriter().tag(field, WireType.LengthDelimited).string(value).finish()));
  }).finally(() => channel.close());
}

/** The length-delimited fields of a number. */
function fieldsOf(message: Uint8Array, wanted: number): Buffer[] {
  const found: Buffer[] = [];
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted && wireType === WireType.LengthDelimited) found.push(Buffer.from(reader.bytes()));
    else reader.skip(wireType, field);
  }
  return found;
}

function numberedLeaf(index: number): Buffer {
  const leaf = Buffer.alloc(32, 0x5a);
  leaf.writeUInt32BE(index);
  return leaf;
}
