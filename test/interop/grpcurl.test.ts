import { randomUUID } from 'node:crypto';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Health, HealthCheckResponse_ServingStatus } from '#gen/health/v1/health_pb.js';
import { file_quartermaster_v1_notary, QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import {
  ClusterState,
  file_quartermaster_v1_registry,
  QuartermasterRegistry,
} from '#gen/quartermaster/v1/registry_pb.js';
import { verifyCheckpoint, verifyReceipt } from '../../src/verify/index.ts';
import { leavesNamed, receiptOf } from '../integration/careful-caller.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type GrownLog, growLog } from './grown-log.ts';
import { Grpcurl } from './grpcurl.ts';

// Seen red: without the files that a file imports in what reflection is given.

const notary = QuartermasterNotary.method;
const registry = QuartermasterRegistry.method;
const health = Health.method;
const SERVICES = [Health.typeName, QuartermasterNotary.typeName, QuartermasterRegistry.typeName];
const { SERVING } = HealthCheckResponse_ServingStatus;

let database: TestDatabase;
let server: ServerProcess;
let grpcurl: Grpcurl;
let log: GrownLog;
/** Whoever reads `log` also holds this. */
let policy: { readonly logKeys: readonly string[] };
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startServerProcess({
    databaseUrl: database.databaseUrl,
    environment: { QUARTERMASTER_REFLECTION: 'true' },
  });
  grpcurl = await Grpcurl.of(server.address);
  log = await growLog(server, [3, 5, 1]);
  policy = { logKeys: [log.vkey] };
});
afterAll(async () => {
  await grpcurl.close();
  await server.kill('SIGTERM');
  await database.close();
});

describe('grpcurl, which knows nothing but what reflection says', () => {
  test('lists the services', async () => {
    expect(await grpcurl.list()).toEqual(SERVICES);
  });

  test('describes every service, and every message and enum that it leads to', async () => {
    const described = new Map<string, string>();
    const follow = async (symbol: string): Promise<void> => {
      if (described.has(symbol)) return;
      const text = await grpcurl.describe(symbol);
      described.set(symbol, text);
      for (const [, found = ''] of text.matchAll(/[ (]\.([a-z][\w.]*\.[A-Z]\w*)/g)) await follow(found);
    };
    for (const service of SERVICES) await follow(service);

    const files = [file_quartermaster_v1_notary, file_quartermaster_v1_registry];
    const ours = files.flatMap(({ messages, enums }) => [...messages, ...enums]);
    expect(ours.length).toBeGreaterThan(30);
    expect([...described.keys()]).toEqual(expect.arrayContaining(ours.map(({ typeName }) => typeName)));
    expect(described.get('quartermaster.v1.LeafReference')).toContain('uint32 leaf_index = 2;');
    expect(described.get('quartermaster.v1.CreateAnchorRequest')).toContain('bytes packed_leaves = 6;');
    expect(described.get(QuartermasterNotary.typeName)).toContain(
      'returns ( stream .quartermaster.v1.WatchCheckpointsResponse );',
    );
  });

  test('is told nothing where reflection is not switched on', async () => {
    const closed = await startServerProcess({ databaseUrl: database.databaseUrl });
    const listing = (await Grpcurl.of(closed.address)).list();
    await expect(listing.finally(() => closed.kill('SIGTERM'))).rejects.toThrow(
      'server does not support the reflection API',
    );
  });

  /** A call of each method, and what its answer has to be. */
  const calls: Readonly<Record<string, () => Promise<void>>> = {
    'quartermaster.v1.QuartermasterNotary.CreateAnchor': async () => {
      const { clusterId } = await growLog(server, []);
      const leaves = [...Array(3).keys()].map((i) => base64(leavesNamed(`by hand ${i}`)));
      const requestId = randomUUID();
      const request = {
        cluster_id: clusterId,
        leaves,
        etcd_revision: '9007199254740993',
        request_id: requestId,
      };
      const answer = await grpcurl.call(notary.createAnchor, request);
      expect(answer).toMatchObject({ leafCount: 3, leafIndices: [0, 1, 2], logIndex: 0n, replayed: false });
      expect(JSON.parse(Buffer.from(answer.record).toString())).toMatchObject({
        anchor_id: answer.anchorId,
        etcd_revision: '9007199254740993',
        request_id: requestId,
      });
      const again = await grpcurl.call(notary.createAnchor, {
        ...request,
        known_checkpoint: answer.checkpoint,
      });
      expect(again).toMatchObject({ anchorId: answer.anchorId, record: answer.record, replayed: true });
    },
    'quartermaster.v1.QuartermasterNotary.GetAnchor': async () => {
      const { anchorId, record } = log.batches[1]!;
      const { anchor } = await grpcurl.call(notary.getAnchor, { anchor_id: anchorId });
      expect(anchor).toMatchObject({
        anchorId,
        record,
        clusterId: log.clusterId,
        logIndex: 1n,
        leafCount: 5,
      });
      const { created_at: createdAt } = JSON.parse(Buffer.from(record).toString()) as { created_at: string };
      expect(timestampDate(anchor!.createTime!).toISOString()).toBe(createdAt);
    },
    'quartermaster.v1.QuartermasterNotary.ListAnchors': async () => {
      const request = { cluster_id: log.clusterId, page_size: 2 };
      const first = await grpcurl.call(notary.listAnchors, request);
      const token = first.nextPageToken;
      const second = await grpcurl.call(notary.listAnchors, { ...request, page_token: token });
      expect([...first.anchors, ...second.anchors].map(({ record }) => record)).toEqual(
        log.batches.map(({ record }) => record),
      );
      expect(second.nextPageToken).toBe('');
    },
    'quartermaster.v1.QuartermasterNotary.ListLeaves': async () => {
      const { anchorId, leaves } = log.batches[1]!;
      const request = { anchor_id: anchorId, page_size: 4 };
      const first = await grpcurl.call(notary.listLeaves, request);
      const token = first.nextPageToken;
      const second = await grpcurl.call(notary.listLeaves, { ...request, page_token: token });
      expect(Buffer.concat([first.packedLeaves, second.packedLeaves])).toEqual(Buffer.concat(leaves));
      expect(second).toMatchObject({ firstLeafIndex: 4, nextPageToken: '' });
    },
    'quartermaster.v1.QuartermasterNotary.GetInclusionProof': async () => {
      const { anchorId, leaves } = log.batches[1]!;
      const request = { anchor_id: anchorId, leaf_index: 4, tree_size: '2' };
      const { receipt } = await grpcurl.call(notary.getInclusionProof, request);
      verifyReceipt(receiptOf(receipt), { leaf: leaves[4]!, anchorId, leafIndex: 4 }, policy);
      expect(receipt!.checkpoint).toBe(log.checkpoints[2]);
    },
    'quartermaster.v1.QuartermasterNotary.BatchGetInclusionProofs': async () => {
      const references = [1, 0].map((i) => ({ anchor_id: log.batches[i]!.anchorId, leaf_index: 2 }));
      const request = { cluster_id: log.clusterId, references };
      const { anchors, checkpoint } = await grpcurl.call(notary.batchGetInclusionProofs, request);
      expect(anchors.map(({ logIndex }) => logIndex)).toEqual([1n, 0n]);
      for (const { logIndex, leaves, ...shared } of anchors) {
        const receipt = { ...shared, ...leaves[0]!, checkpoint, logIndex: Number(logIndex) };
        verifyReceipt(receipt, { leaf: log.batches[receipt.logIndex]!.leaves[2]! }, policy);
      }
    },
    'quartermaster.v1.QuartermasterNotary.GetConsistencyProof': async () => {
      const request = { cluster_id: log.clusterId, first_size: '1', second_size: '3' };
      const { consistencyPath } = await grpcurl.call(notary.getConsistencyProof, request);
      const own = await server.notary.getConsistencyProof({
        clusterId: log.clusterId,
        firstSize: 1n,
        secondSize: 3n,
      });
      expect(consistencyPath).toHaveLength(2);
      expect(consistencyPath).toEqual(own.consistencyPath);
    },
    'quartermaster.v1.QuartermasterNotary.GetCheckpoint': async () => {
      const request = { cluster_id: log.clusterId, tree_size: '2' };
      expect((await grpcurl.call(notary.getCheckpoint, request)).checkpoint).toBe(log.checkpoints[2]);
    },
    'quartermaster.v1.QuartermasterNotary.WatchCheckpoints': async () => {
      const { clusterId, vkey } = await growLog(server, []);
      const watch = grpcurl.stream(notary.watchCheckpoints, { cluster_id: clusterId });
      const sizeOfNext = async () =>
        verifyCheckpoint((await watch.next()).checkpoint, { logKeys: [vkey] }).size;
      expect(await sizeOfNext()).toBe(0);
      await server.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('watched') });
      expect(await sizeOfNext()).toBe(1);
    },
    'quartermaster.v1.QuartermasterNotary.GetLog': async () => {
      const answer = await grpcurl.call(notary.getLog, { cluster_id: log.clusterId });
      expect(answer).toMatchObject({ clusterId: log.clusterId, origin: log.origin });
      expect(answer.keys).toMatchObject([{ vkey: log.vkey, firstSize: 0n }]);
      expect(answer.maxLeafCount).toBeGreaterThan(0);
    },
    'quartermaster.v1.QuartermasterRegistry.CreateCluster': async () => {
      const request = { cluster_id: randomUUID(), display_name: 'by hand', request_id: randomUUID() };
      const { cluster } = await grpcurl.call(registry.createCluster, request);
      const state = ClusterState.ACTIVE;
      expect(cluster).toMatchObject({ clusterId: request.cluster_id, displayName: 'by hand', state });
      expect(await grpcurl.call(registry.createCluster, request)).toMatchObject({ cluster: { ...cluster } });
    },
    'quartermaster.v1.QuartermasterRegistry.GetCluster': async () => {
      const { cluster } = await grpcurl.call(registry.getCluster, { cluster_id: log.clusterId });
      expect(cluster).toMatchObject({ origin: log.origin, state: ClusterState.ACTIVE, successorId: '' });
    },
    'quartermaster.v1.QuartermasterRegistry.ListClusters': async () => {
      const ids: string[] = [];
      let token = '';
      do {
        const page = await grpcurl.call(registry.listClusters, { page_size: 1, page_token: token });
        ids.push(...page.clusters.map(({ clusterId }) => clusterId));
        token = page.nextPageToken;
      } while (token !== '');
      const own = await server.registry.listClusters({});
      expect(ids).toEqual(own.clusters.map(({ clusterId }) => clusterId));
      expect(ids).toContain(log.clusterId);
    },
    'quartermaster.v1.QuartermasterRegistry.FreezeCluster': async () => {
      const { clusterId } = await growLog(server, []);
      const request = { cluster_id: clusterId, reason: 'an audit' };
      expect(await grpcurl.call(registry.freezeCluster, request)).toMatchObject({
        cluster: { clusterId, state: ClusterState.FROZEN, stateReason: 'an audit' },
      });
    },
    'quartermaster.v1.QuartermasterRegistry.ThawCluster': async () => {
      const { clusterId } = await growLog(server, []);
      await server.registry.freezeCluster({ clusterId, reason: 'an audit' });
      const request = { cluster_id: clusterId, reason: 'it is over' };
      expect(await grpcurl.call(registry.thawCluster, request)).toMatchObject({
        cluster: { clusterId, state: ClusterState.ACTIVE },
      });
    },
    'grpc.health.v1.Health.Check': async () => {
      for (const service of ['', QuartermasterNotary.typeName, QuartermasterRegistry.typeName])
        expect(await grpcurl.call(health.check, { service })).toMatchObject({ status: SERVING });
      expect(await grpcurl.refused(health.check, { service: 'another' })).toMatchObject({ code: 5 });
    },
    'grpc.health.v1.Health.List': async () => {
      const { statuses } = await grpcurl.call(health.list, {});
      expect(Object.entries(statuses).map(([name, { status }]) => [name, status])).toEqual(
        ['', QuartermasterNotary.typeName, QuartermasterRegistry.typeName].map((name) => [name, SERVING]),
      );
    },
    'grpc.health.v1.Health.Watch': async () => {
      const watch = grpcurl.stream(health.watch, { service: QuartermasterNotary.typeName });
      expect(await watch.next()).toMatchObject({ status: SERVING });
    },
  };

  test('lists the methods, and each of them is called here', async () => {
    const listed = await Promise.all(SERVICES.map((service) => grpcurl.list(service)));
    expect(listed.flat().sort()).toEqual(Object.keys(calls).sort());
  });

  test.each(Object.entries(calls))('calls %s', async (_, call) => {
    await call();
  });
});

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
