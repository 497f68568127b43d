import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClusterState } from '#gen/quartermaster/v1/registry_pb.js';
import { formatPageToken } from '../../src/server/page-token.ts';
import type { Edge } from './edge.ts';
import { failure, startEdge } from './edge.ts';
import { CLUSTER, CREATED_AT_MS } from './fake-notary.ts';

let edge: Edge;
beforeAll(async () => {
  edge = await startEdge();
});
afterAll(() => edge.stop());

describe('QuartermasterRegistry', () => {
  test('creates a cluster, with what was left out left out', async () => {
    const { cluster } = await edge.registry.createCluster({ displayName: 'Demo' });
    expect(edge.fake.asked.at(-1)).toEqual([
      'createCluster',
      { clusterId: undefined, displayName: 'Demo', requestId: undefined, predecessorId: undefined },
    ]);
    expect(cluster).toMatchObject({
      clusterId: CLUSTER,
      displayName: 'Demo',
      origin: `example.com/${CLUSTER}`,
      state: ClusterState.ACTIVE,
      stateReason: '',
      createTime: timestampFromMs(CREATED_AT_MS),
      predecessorId: '',
      successorId: '',
    });
  });

  test('gets, freezes and thaws one', async () => {
    expect((await edge.registry.getCluster({ clusterId: CLUSTER })).cluster?.clusterId).toBe(CLUSTER);
    const frozen = await edge.registry.freezeCluster({ clusterId: CLUSTER, reason: 'audit' });
    expect(frozen.cluster).toMatchObject({ state: ClusterState.FROZEN, stateReason: 'audit' });
    await edge.registry.thawCluster({ clusterId: CLUSTER, reason: 'over', confirmedCheckpoint: 'note' });
    expect(edge.fake.asked.at(-1)).toEqual(['thawCluster', CLUSTER, 'over', 'note']);
  });

  test('lists clusters page by page, and ends with an empty token', async () => {
    const ids: string[] = [];
    let pageToken = '';
    let pages = 0;
    do {
      const page = await edge.registry.listClusters({ pageSize: 2, pageToken });
      ids.push(...page.clusters.map(({ clusterId }) => clusterId.slice(-1)));
      pageToken = page.nextPageToken;
      pages += 1;
    } while (pageToken !== '');
    expect(ids).toEqual(['0', '1', '2', '3', '4']);
    expect(pages).toBe(3);
  });

  // Seen red with any 36 of [0-9a-f-] taken: Postgres answers an error to what is no UUID, and the caller was told INTERNAL.
  test('refuses a page token whose digest is right and whose position is no UUID', async () => {
    const pageToken = formatPageToken(['ListClusters'], '-'.repeat(36));
    const asked = edge.fake.asked.length;
    expect(await failure(edge.registry.listClusters({ pageToken }))).toMatchObject({
      code: 'INVALID_ARGUMENT',
    });
    expect(edge.fake.asked).toHaveLength(asked);
  });

  test.each<[string, () => Promise<unknown>, string]>([
    [
      'cluster_id that is no UUID',
      () => edge.registry.createCluster({ clusterId: 'c' }),
      'cluster_id: "c" is not a UUID',
    ],
    [
      'predecessor that is no UUID',
      () => edge.registry.createCluster({ predecessorId: 'p' }),
      'predecessor_id: "p" is not a UUID',
    ],
    // Seen red without the check: the database refused them, and the answer was INTERNAL.
    [
      'name with a NUL',
      () => edge.registry.createCluster({ displayName: 'a\0b' }),
      'display_name: it contains a NUL character',
    ],
    [
      'reason to freeze with a NUL',
      () => edge.registry.freezeCluster({ clusterId: CLUSTER, reason: '\0' }),
      'reason: it contains a NUL character',
    ],
    [
      'reason to thaw with a NUL',
      () => edge.registry.thawCluster({ clusterId: CLUSTER, reason: '\0' }),
      'reason: it contains a NUL character',
    ],
    [
      'name of 300 bytes',
      () => edge.registry.createCluster({ displayName: 'n'.repeat(300) }),
      'display_name: 300 bytes, at most 256',
    ],
    [
      'reason of 300 bytes',
      () => edge.registry.freezeCluster({ clusterId: CLUSTER, reason: 'r'.repeat(300) }),
      'reason: 300 bytes, at most 256',
    ],
    ['no cluster to get', () => edge.registry.getCluster({}), 'cluster_id: missing, expected a UUID'],
    ['negative page_size', () => edge.registry.listClusters({ pageSize: -1 }), 'page_size: -1 is negative'],
    [
      'checkpoint above 4 KiB',
      () => edge.registry.thawCluster({ clusterId: CLUSTER, confirmedCheckpoint: 'c'.repeat(5_000) }),
      'confirmed_checkpoint: 5000 bytes, at most 4096',
    ],
  ])('refuses a %s', async (_name, call, message) => {
    expect(await failure(call())).toMatchObject({ code: 'INVALID_ARGUMENT', message });
  });
});
