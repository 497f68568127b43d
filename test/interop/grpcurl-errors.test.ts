import { randomUUID } from 'node:crypto';
import type { DescMethod } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { ClusterState, QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import { assembleCheckpoint, formatCheckpointText } from '../../src/note/index.ts';
import { leavesNamed } from '../integration/careful-caller.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type GrownLog, growLog } from './grown-log.ts';
import { Grpcurl } from './grpcurl.ts';

// What somebody who has only grpcurl is told of a call that fails: grpcurl finds the types of the details by reflection, and
// shows raw bytes in their place where it does not.
// Seen red: without google/rpc/error_details.proto in what reflection is given.

const notary = QuartermasterNotary.method;
const registry = QuartermasterRegistry.method;
const LEAF = Buffer.from(leavesNamed('refused')).toString('base64');

let database: TestDatabase;
let server: ServerProcess;
let grpcurl: Grpcurl;
let log: GrownLog;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startServerProcess({
    databaseUrl: database.databaseUrl,
    environment: { QUARTERMASTER_REFLECTION: 'true' },
  });
  grpcurl = await Grpcurl.of(server.address);
  log = await growLog(server, [1, 1]);
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
});

/** The numbers are those of gRPC. */
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const ALREADY_EXISTS = 6;
const FAILED_PRECONDITION = 9;
const OUT_OF_RANGE = 11;
const UNAVAILABLE = 14;
const DATA_LOSS = 15;

describe('grpcurl shows the details of errors', () => {
  test('which fields are wrong, and how', async () => {
    const request = { cluster_id: 'mine', leaves: [LEAF, LEAF.slice(4)] };
    expect(await grpcurl.refused(notary.createAnchor, request)).toEqual({
      code: INVALID_ARGUMENT,
      message: 'cluster_id: "mine" is not a UUID (and 1 more)',
      details: [
        errorInfo('INVALID_ARGUMENT'),
        {
          '@type': 'type.googleapis.com/google.rpc.BadRequest',
          fieldViolations: [
            { field: 'cluster_id', description: '"mine" is not a UUID' },
            { field: 'leaves[1]', description: '29 bytes, expected 32' },
          ],
        },
      ],
    });
    const text = await grpcurl.complaint(notary.createAnchor, request);
    expect(text).toContain('Code: InvalidArgument');
    expect(text).toContain('"description": "29 bytes, expected 32"');
  });

  const refusals: readonly [string, number, DescMethod, (log: GrownLog) => object][] = [
    ['CLUSTER_NOT_FOUND', NOT_FOUND, registry.getCluster, () => ({ cluster_id: randomUUID() })],
    ['ANCHOR_NOT_FOUND', NOT_FOUND, notary.getAnchor, () => ({ anchor_id: randomUUID() })],
    [
      'LEAF_INDEX_OUT_OF_RANGE',
      OUT_OF_RANGE,
      notary.getInclusionProof,
      ({ batches }) => ({ anchor_id: batches[0]!.anchorId, leaf_index: 1 }),
    ],
    [
      'TREE_SIZE_OUT_OF_RANGE',
      OUT_OF_RANGE,
      notary.getConsistencyProof,
      ({ clusterId }) => ({ cluster_id: clusterId, first_size: 1, second_size: 3 }),
    ],
    [
      'CLUSTER_EXISTS',
      ALREADY_EXISTS,
      registry.createCluster,
      ({ clusterId }) => ({ cluster_id: clusterId }),
    ],
    [
      'PREDECESSOR_REFUSED',
      FAILED_PRECONDITION,
      registry.createCluster,
      ({ clusterId }) => ({ predecessor_id: clusterId }),
    ],
  ];
  test.each(refusals)('the reason %s', async (reason, code, method, request) => {
    expect(await grpcurl.refused(method, request(log))).toMatchObject({ code, details: [errorInfo(reason)] });
  });

  test('that a request_id was used for other leaves', async () => {
    const { clusterId } = await growLog(server, []);
    const requestId = randomUUID();
    await server.notary.createAnchor({ clusterId, requestId, packedLeaves: leavesNamed('first') });
    const request = { cluster_id: clusterId, request_id: requestId, leaves: [LEAF] };
    expect(await grpcurl.refused(notary.createAnchor, request)).toMatchObject({
      code: ALREADY_EXISTS,
      details: [errorInfo('REQUEST_ID_REUSED')],
    });
  });

  test('evidence of a lost tail, when to try again meanwhile, and the way out with the newest checkpoint', async () => {
    const { clusterId, origin, checkpoints } = await growLog(server, [1]);
    // Signed by the log's own key, for a size that the log does not have: as after a restore of an old dump.
    const known = await signedCheckpoint(origin, 1_000);
    const request = { cluster_id: clusterId, leaves: [LEAF] };
    expect(await grpcurl.refused(notary.createAnchor, { ...request, known_checkpoint: known })).toMatchObject(
      { code: DATA_LOSS, details: [errorInfo('LOG_ROLLED_BACK')] },
    );
    expect(await grpcurl.refused(notary.createAnchor, request)).toMatchObject({
      code: UNAVAILABLE,
      details: [
        errorInfo('CLUSTER_RECOVERING'),
        { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '30s' },
      ],
    });
    const thaw = { cluster_id: clusterId, reason: 'a false alarm' };
    expect(
      await grpcurl.refused(registry.thawCluster, { ...thaw, confirmed_checkpoint: known }),
    ).toMatchObject({ code: FAILED_PRECONDITION, details: [errorInfo('THAW_REFUSED')] });
    expect(
      await grpcurl.call(registry.thawCluster, { ...thaw, confirmed_checkpoint: checkpoints[1] }),
    ).toMatchObject({ cluster: { state: ClusterState.ACTIVE } });
    expect(await grpcurl.call(notary.createAnchor, request)).toMatchObject({ logIndex: 1n });
  });
});

function errorInfo(reason: string) {
  return { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'quartermaster.dev' };
}

async function signedCheckpoint(origin: string, size: number): Promise<string> {
  const text = formatCheckpointText({ origin, size, root: new Uint8Array(32).fill(1) });
  const signer = await createSeedSigning(server.seed).logKey(origin, 1);
  return assembleCheckpoint(text, [await signer.sign(text)]);
}
