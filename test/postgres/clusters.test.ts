import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ClusterState } from '../../src/notary/storage.ts';
import { createPostgresStorage, type PostgresStorage } from '../../src/postgres/storage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { NAMED_STATEMENTS } from '../support/pgbouncer.ts';
import { buildLog, entryOf, groupAfter, newCluster } from './log-builder.ts';

let database: TestDatabase;
let storage: PostgresStorage;
let other: PostgresStorage;
beforeAll(async () => {
  database = await openTestDatabase();
  storage = database.storage;
  other = createPostgresStorage({ databaseUrl: database.databaseUrl, namedStatements: NAMED_STATEMENTS });
});
afterAll(async () => {
  await other.close();
  await database.close();
});

describe('createCluster', () => {
  test('stores the cluster, its genesis head and its keys', async () => {
    const cluster = newCluster({ requestId: randomUUID(), displayName: 'Zürich – 1' });
    const outcome = await storage.createCluster(cluster);
    const stored = {
      ...cluster.cluster,
      state: 'active',
      stateReason: '',
      stateVersion: 1,
      confirmedSize: undefined,
      successorId: undefined,
      frozenReason: undefined,
    };
    expect(outcome).toEqual({ kind: 'created', cluster: stored });
    const { clusterId } = cluster.cluster;
    expect(await storage.readCluster(clusterId)).toEqual(stored);
    expect(await storage.readLog(clusterId)).toEqual({
      cluster: stored,
      head: cluster.genesis,
      lastCreatedAtMs: undefined,
    });
    expect(await storage.readKeys(clusterId)).toEqual(cluster.keys);
    expect(await storage.readCluster(randomUUID())).toBeUndefined();
    expect(await storage.readLog(randomUUID())).toBeUndefined();
  });

  test('answers the same request id with the cluster that it made, also from several callers at once', async () => {
    const requestId = randomUUID();
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, i) => (i % 2 ? storage : other).createCluster(newCluster({ requestId }))),
    );
    const created = outcomes.filter((outcome) => outcome.kind === 'created');
    expect(created).toHaveLength(1);
    const replayed = { kind: 'replayed', cluster: created[0]!.cluster };
    expect(outcomes.filter((outcome) => outcome.kind === 'replayed')).toEqual(Array(7).fill(replayed));
  });

  test('refuses a cluster id that exists, and leaves what is there', async () => {
    const first = newCluster({ requestId: randomUUID() });
    await storage.createCluster(first);
    const { clusterId } = first.cluster;
    expect(await storage.createCluster(newCluster({ clusterId }))).toEqual({ kind: 'exists' });
    expect(await storage.createCluster(newCluster({ clusterId, requestId: randomUUID() }))).toEqual({
      kind: 'exists',
    });
    expect(await storage.readLog(clusterId)).toMatchObject({ head: first.genesis });
  });

  test('gives a sealed cluster one successor, whose first entry is there from the start', async () => {
    const { clusterId: predecessorId } = await buildLog(storage, [2]);
    const successor = (requestId?: string) => {
      const cluster = newCluster({ predecessorId, requestId });
      const group = groupAfter(cluster.cluster.clusterId, cluster.genesis);
      const entry = { ...entryOf(0), anchorId: undefined, root: undefined, leafCount: 0 };
      return { ...cluster, first: { ...group, entries: [entry], batches: [] } };
    };
    expect(await storage.createCluster(successor())).toEqual({ kind: 'predecessorRefused' });
    await storage.changeState({ clusterId: predecessorId, from: ['active'], to: 'sealed', reason: '' });
    const requestId = randomUUID();
    const twins = [successor(requestId), successor(requestId), successor()];
    const outcomes = await Promise.all(twins.map((twin, i) => (i % 2 ? storage : other).createCluster(twin)));
    const winner = twins[outcomes.findIndex((outcome) => outcome.kind === 'created')]!;
    expect(outcomes.filter((outcome) => outcome.kind === 'created')).toHaveLength(1);
    expect(await storage.readCluster(predecessorId)).toMatchObject({
      successorId: winner.cluster.clusterId,
    });
    expect(await storage.readLog(winner.cluster.clusterId)).toMatchObject({ head: winner.first.newHead });
    expect(await storage.listEntries(winner.cluster.clusterId, 0, 9)).toEqual(winner.first.entries);
    for (const loser of twins.filter((twin) => twin !== winner)) {
      expect(await storage.readCluster(loser.cluster.clusterId)).toBeUndefined();
    }
    expect(await storage.createCluster(successor())).toEqual({ kind: 'predecessorRefused' });
    expect(await storage.createCluster(newCluster({ predecessorId: randomUUID() }))).toEqual({
      kind: 'predecessorRefused',
    });
  });

  test('fails for text that the database cannot hold', async () => {
    const nul = storage.createCluster(newCluster({ displayName: '\0' }));
    await expect(nul).rejects.toMatchObject({ name: 'StorageError', code: 'INTERNAL' });
    await storage.ping();
  });
});

describe('changeState', () => {
  test('changes what it may from the states and version that it expects, and counts versions', async () => {
    const { clusterId } = await buildLog(storage);
    const frozen = await storage.changeState({ clusterId, from: ['active'], to: 'frozen', reason: 'a look' });
    expect(frozen).toMatchObject({ state: 'frozen', stateReason: 'a look', stateVersion: 2 });
    expect(
      await storage.changeState({ clusterId, from: ['active'], to: 'sealed', reason: '' }),
    ).toBeUndefined();
    const thaw = { clusterId, from: ['frozen', 'recovering'], to: 'active', reason: '' } as const;
    expect(await storage.changeState({ ...thaw, expectedVersion: 1 })).toBeUndefined();
    expect(await storage.changeState({ ...thaw, expectedVersion: 2, confirmedSize: 7 })).toMatchObject({
      state: 'active',
      stateVersion: 3,
      confirmedSize: 7,
    });
    expect(
      await storage.changeState({ clusterId, from: ['active'], to: 'frozen', reason: '' }),
    ).toMatchObject({ confirmedSize: 7 });
    expect(await storage.changeState({ ...thaw, clusterId: randomUUID() })).toBeUndefined();
  });

  test('to recovering keeps why a cluster was frozen, until the next change', async () => {
    const { clusterId } = await buildLog(storage);
    const change = (from: ClusterState, to: ClusterState, reason: string) =>
      storage.changeState({ clusterId, from: [from], to, reason });
    expect(await change('active', 'recovering', 'a loss')).toMatchObject({ frozenReason: undefined });
    await change('recovering', 'active', 'nothing lost');
    // No reason at all is one, too.
    for (const reason of ['', 'a move']) {
      await change('active', 'frozen', reason);
      const recovering = await change('frozen', 'recovering', 'a loss');
      expect(recovering).toMatchObject({ stateReason: 'a loss', frozenReason: reason });
      expect((await storage.readLog(clusterId))!.cluster).toEqual(recovering);
      expect(await change('recovering', 'active', '')).toMatchObject({ frozenReason: undefined });
    }
  });
});

describe('listClusters', () => {
  test('gives every cluster once, by id, in pages', async () => {
    await buildLog(storage);
    const all = await storage.listClusters(undefined, 1000);
    const paged: string[] = [];
    for (let after: string | undefined; ; after = paged.at(-1)) {
      const page = await storage.listClusters(after, 2);
      if (page.length === 0) break;
      paged.push(...page.map((cluster) => cluster.clusterId));
    }
    expect(paged).toEqual(all.map((cluster) => cluster.clusterId));
    expect(paged).toEqual([...new Set(paged)].sort());
  });
});
