import { randomUUID } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { Client as Channel, ChannelCredentials } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { CreateAnchorRequestSchema, QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { ClusterState, QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import { assembleCheckpoint, formatCheckpointText } from '../../src/note/index.ts';
import { methodPath } from '../../src/rpc/service-definition.ts';
import { CREATE_ANCHOR, frame, RawConnection } from '../server/raw-grpc.ts';
import { CarefulCaller, leavesNamed } from './careful-caller.ts';
import { type NotaryUnderTest, ORIGIN_PREFIX } from './notary-under-test.ts';
import { expectRefusal, invalid, type Refused } from './refusals.ts';
import { MAX_LEAF_COUNT, MAX_MESSAGE_BYTES, startUntouchedLog, type UntouchedLog } from './untouched-log.ts';

const ROOT = leavesNamed('some root');
const LEAF = leavesNamed('leaf');

let log: UntouchedLog;
let server: NotaryUnderTest;
beforeAll(async () => {
  log = await startUntouchedLog();
  server = log.server;
});
afterEach(() => log.expectUntouched());
afterAll(() => log.stop());

const createAnchor = (fields: Parameters<NotaryUnderTest['notary']['createAnchor']>[0]) =>
  server.notary.createAnchor({ clusterId: log.caller.clusterId, ...fields });

describe('CreateAnchor is refused', () => {
  const cases: readonly Refused[] = [
    ['without leaves', () => createAnchor({}), invalid('leaves', /empty/)],
    ...[0, 31, 33].map(
      (byteLength): Refused => [
        `with a leaf of ${byteLength} bytes, at its position`,
        () => createAnchor({ leaves: [LEAF, LEAF, new Uint8Array(byteLength), LEAF] }),
        {
          ...invalid('leaves[2]', new RegExp(`^${byteLength} bytes, expected 32$`)),
          message: new RegExp(`^leaves\\[2\\]: ${byteLength} bytes, expected 32$`),
        },
      ],
    ),
    [
      'with 10,000 bad leaves, of which the first few are named',
      () => createAnchor({ leaves: Array.from({ length: 10_000 }, () => new Uint8Array(31)) }),
      {
        code: 'INVALID_ARGUMENT',
        reason: 'INVALID_ARGUMENT',
        violations: Array.from({ length: 8 }, (_, i) => ({
          field: `leaves[${i}]`,
          description: /^31 bytes/,
        })),
        message: /^leaves\[0\]: 31 bytes, expected 32 \(and 9999 more\)$/,
      },
    ],
    [
      'with both leaf fields',
      () => createAnchor({ leaves: [LEAF], packedLeaves: LEAF }),
      invalid('packed_leaves', /together with leaves/),
    ],
    [
      'with packed leaves of another length than a multiple of 32',
      () => createAnchor({ packedLeaves: new Uint8Array(65) }),
      invalid('packed_leaves', /^65 bytes, expected a multiple of 32$/),
    ],
    [
      'with more leaves than the limit, and is not told to try again',
      () => createAnchor({ leaves: Array.from({ length: MAX_LEAF_COUNT + 1 }, () => LEAF) }),
      { code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_LEAVES', message: /20000 leaves.*split/ },
    ],
    [
      'with more packed leaves than the limit',
      () => createAnchor({ packedLeaves: new Uint8Array(32 * (MAX_LEAF_COUNT + 1)) }),
      { code: 'RESOURCE_EXHAUSTED', reason: 'TOO_MANY_LEAVES', message: /20000 leaves.*split/ },
    ],
    [
      'with a message that is too large',
      () => createAnchor({ packedLeaves: new Uint8Array(MAX_MESSAGE_BYTES) }),
      { code: 'RESOURCE_EXHAUSTED', reason: 'MESSAGE_TOO_LARGE', message: /at most 1000000.*split/ },
    ],
    [
      'with a negative etcd_revision',
      () => createAnchor({ packedLeaves: LEAF, etcdRevision: -1n }),
      invalid('etcd_revision', /^-1 is negative$/),
    ],
    [
      'with a request_id that is no UUID',
      () => createAnchor({ packedLeaves: LEAF, requestId: 'tomorrow' }),
      invalid('request_id', /^"tomorrow" is not a UUID$/),
    ],
    [
      'with several mistakes, all of which are named',
      () => createAnchor({ clusterId: 'x', requestId: 'y', etcdRevision: -1n }),
      {
        code: 'INVALID_ARGUMENT',
        reason: 'INVALID_ARGUMENT',
        violations: [
          { field: 'cluster_id', description: /"x"/ },
          { field: 'leaves', description: /empty/ },
          { field: 'etcd_revision', description: /-1/ },
          { field: 'request_id', description: /"y"/ },
        ],
      },
    ],
    [
      'with the request_id of an anchor of other leaves',
      () => createAnchor({ packedLeaves: LEAF, requestId: log.requestId }),
      { code: 'ALREADY_EXISTS', reason: 'REQUEST_ID_REUSED' },
    ],
    [
      'with the request_id, in capitals, of an anchor of another etcd_revision',
      () =>
        createAnchor({
          packedLeaves: leavesNamed('first', 3),
          requestId: log.requestId.toUpperCase(),
          etcdRevision: 1n,
        }),
      { code: 'ALREADY_EXISTS', reason: 'REQUEST_ID_REUSED' },
    ],
  ];
  test.each(cases)('%s', (_name, call, expected) => expectRefusal(call(), expected));
});

// Seen red with known_checkpoint ignored: the anchors were taken.
describe('a known_checkpoint is refused before anything is written', () => {
  const withKnown = (knownCheckpoint: string) => createAnchor({ packedLeaves: LEAF, knownCheckpoint });
  const cases: [string, () => string | Promise<string>, RegExp][] = [
    ['that is no signed note', () => 'the log is fine, believe me', /./],
    ['of more than 4 KiB', () => 'x'.repeat(4097), /^4097 bytes, at most 4096$/],
    [
      'of another log of this server',
      async () => (await server.notary.getCheckpoint({ clusterId: log.witness.clusterId })).checkpoint,
      /^a checkpoint of ".*", not of /,
    ],
    [
      'whose signature has one other bit',
      () => log.first.response.checkpoint.replace(/.(?=.{8}\n$)/, (c) => (c === 'A' ? 'B' : 'A')),
      /not signed by/,
    ],
    ['of another root, signed by somebody else', () => forged(ROOT, 1), /not signed by/],
    ['of a larger size, signed by somebody else', () => forged(ROOT, 9), /not signed by/],
    ['without a signature', async () => (await forged(ROOT, 9)).split('\n\n')[0]!, /./],
  ];
  test.each(cases)('%s', async (_name, note, description) => {
    await expectRefusal(withKnown(await note()), invalid('known_checkpoint', description));
    const { cluster } = await server.registry.getCluster({ clusterId: log.caller.clusterId });
    expect(cluster?.state).toBe(ClusterState.ACTIVE);
  });

  /** With the log's own name, but the key of another seed. */
  async function forged(root: Uint8Array, size: number): Promise<string> {
    const origin = `${ORIGIN_PREFIX}/${log.caller.clusterId}`;
    const text = formatCheckpointText({ origin, size, root });
    const signer = await createSeedSigning(new Uint8Array(32).fill(7)).logKey(origin, 1);
    return assembleCheckpoint(text, [await signer.sign(text)]);
  }
});

describe('a message of garbage bytes is INVALID_ARGUMENT', () => {
  const garbage = [
    Buffer.from('ff'.repeat(40), 'hex'),
    Buffer.from([0x12, 0x7f, 1]),
    Buffer.alloc(4096, 0xa7),
  ];
  const methods = [QuartermasterNotary, QuartermasterRegistry].flatMap((service) => service.methods);
  test.each(methods.map((method) => [method.name, methodPath(method)]))('to %s', async (_name, path) => {
    const channel = new Channel(server.address, ChannelCredentials.createInsecure());
    const send = (bytes: Buffer) =>
      new Promise((resolve, reject) => {
        channel.makeUnaryRequest(
          path,
          (message: Buffer) => message,
          (message: Buffer) => message,
          bytes,
          (error, answer) => (error === null ? resolve(answer) : reject(error)),
        );
      });
    for (const bytes of garbage)
      await expectRefusal(send(bytes), { code: 'INVALID_ARGUMENT', reason: 'MALFORMED_MESSAGE' });
    channel.close();
  });
});

describe('a frozen cluster', () => {
  test('takes no anchors, answers reads and known request_ids, and goes on when it is thawed', async () => {
    const frozen = await CarefulCaller.ofNewCluster(server, server.seed);
    const requestId = randomUUID();
    const anchored = await frozen.anchor(server, LEAF, { requestId });
    const { clusterId } = frozen;
    await server.registry.freezeCluster({ clusterId, reason: 'stocktaking' });

    await expectRefusal(server.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('more') }), {
      code: 'FAILED_PRECONDITION',
      reason: 'CLUSTER_FROZEN',
      message: /stocktaking/,
    });
    expect((await frozen.checkpoint(server)).size).toBe(1);
    await frozen.prove(server, anchored, 0);
    expect((await frozen.anchor(server, LEAF, { requestId })).response.replayed).toBe(true);

    await server.registry.thawCluster({ clusterId, reason: 'counted' });
    expect((await frozen.anchor(server, leavesNamed('more'))).verified.logIndex).toBe(1);
  });
});

describe('a call whose deadline has passed when it arrives', () => {
  const message = () =>
    toBinary(
      CreateAnchorRequestSchema,
      create(CreateAnchorRequestSchema, { clusterId: log.caller.clusterId, packedLeaves: LEAF }),
    );
  // grpc-js never sends such a call: by hand.
  test.each(['0n', '1n'])('of %s is DEADLINE_EXCEEDED and anchors nothing', async (timeout) => {
    const raw = new RawConnection(server.port);
    const answer = await raw.call(CREATE_ANCHOR, frame(message()), { 'grpc-timeout': timeout });
    expect(answer).toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: expect.stringMatching(/^the deadline passed/),
    });
    raw.close();
  });
});
