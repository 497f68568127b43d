import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createPostgresStorage } from '../../src/postgres/storage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { NAMED_STATEMENTS } from '../support/pgbouncer.ts';
import { withClient } from '../support/postgres-template.ts';
import { buildLog, groupAfter, newCluster, someHash } from './log-builder.ts';

const NEVER = new AbortController().signal;

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(async () => {
  await database.close();
});

/** Everything that belongs to a cluster, to show that nothing was written. */
async function rowCounts(clusterId: string): Promise<unknown> {
  return await withClient(database.ownerUrl, async (client) => {
    const { rows } = await client.query(
      `SELECT (SELECT count(*) FROM heads WHERE cluster_id = $1) AS heads, (SELECT count(*) FROM anchors WHERE cluster_id = $1) AS anchors,
        (SELECT count(*) FROM anchor_leaves WHERE cluster_id = $1) AS leaves, (SELECT count(*) FROM log_nodes WHERE cluster_id = $1) AS nodes`,
      [clusterId],
    );
    return rows[0];
  });
}

describe('the append statement', () => {
  for (const namedStatements of NAMED_STATEMENTS ? [true, false] : [false]) {
    test(`writes head, entries, leaves and log nodes, and reads give them back as they were (named statements: ${namedStatements})`, async () => {
      const storage = createPostgresStorage({ databaseUrl: database.databaseUrl, namedStatements });
      const { clusterId, head } = await buildLog(storage);
      const requestId = randomUUID();
      const group = {
        ...groupAfter(clusterId, head, [{ requestId, leafCount: 700 }, {}, { leafCount: 3 }]),
        logNodes: [
          { level: 1, index: 0, hash: someHash() },
          { level: 2, index: 5, hash: someHash() },
        ],
      };
      expect(await storage.append(group)).toEqual({ kind: 'appended' });

      const snapshot = await storage.readLog(clusterId);
      expect(snapshot).toMatchObject({
        head: group.newHead,
        lastCreatedAtMs: group.entries[2]!.createdAtMs,
      });
      expect(await storage.listEntries(clusterId, 0, 10)).toEqual(group.entries);
      expect(await storage.listEntries(clusterId, 1, 1)).toEqual([group.entries[1]]);
      expect(await storage.findEntriesByRequestId(clusterId, [randomUUID(), requestId])).toEqual([
        group.entries[0],
      ]);
      const [first, , third] = group.batches;
      expect(
        await storage.readBatchRanges(clusterId, [
          { anchorId: first!.anchorId, column: 'leaves', first: 256, count: 256 },
          { anchorId: first!.anchorId, column: 'nodes', first: 0, count: 2 },
          { anchorId: third!.anchorId, column: 'leaves', first: 1, count: 2 },
        ]),
      ).toEqual([first!.leaves.slice(256 * 32, 512 * 32), first!.nodes, third!.leaves.slice(32)]);
      expect(
        await storage.readLogTiles(clusterId, [
          { level: 2, first: 5, count: 1 },
          { level: 1, first: 0, count: 1 },
          { level: 0, first: 1, count: 2 },
        ]),
      ).toEqual([
        group.logNodes[1]!.hash,
        group.logNodes[0]!.hash,
        new Uint8Array(Buffer.concat([group.entries[1]!.recordHash, group.entries[2]!.recordHash])),
      ]);
      await storage.close();
    });
  }

  // Seen red without the condition on the head: an anchor without leaves.
  test('writes nothing where the leaves of a batch that was stored before are gone', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const group = groupAfter(clusterId, head, [{}, {}, {}]);
    const [kept, lost, inline] = group.batches;
    await storage.storeBatch(clusterId, kept!, NEVER);
    const storedBatches = [kept!.anchorId, lost!.anchorId];
    const sent = { ...group, batches: [inline!], storedBatches };
    expect(await storage.append(sent)).toEqual({ kind: 'batchesMissing', anchorIds: [lost!.anchorId] });
    expect(await storage.readLog(clusterId)).toMatchObject({ head: { size: 0 } });
    await storage.storeBatch(clusterId, lost!, NEVER);
    expect(await storage.append(sent)).toEqual({ kind: 'appended' });
  });

  test('stores an entry without leaves', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const group = groupAfter(clusterId, head);
    const entry = { ...group.entries[0]!, anchorId: undefined, root: undefined, leafCount: 0 };
    expect(await storage.append({ ...group, entries: [entry], batches: [] })).toEqual({ kind: 'appended' });
    expect(await storage.listEntries(clusterId, 0, 10)).toEqual([entry]);
  });

  test('keeps the time of an entry to the millisecond', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const times = [0, 1, 999, 1_700_000_000_001, 1_700_000_000_999, 4_102_444_800_003];
    const group = groupAfter(
      clusterId,
      head,
      times.map((createdAtMs) => ({ createdAtMs })),
    );
    expect(await storage.append(group)).toEqual({ kind: 'appended' });
    const entries = await storage.listEntries(clusterId, 0, 10);
    expect(entries.map((entry) => entry.createdAtMs)).toEqual(times);
  });

  test('writes nothing on a stale head, on another root, past the log, or in an unknown cluster', async () => {
    const { storage } = database;
    const { clusterId, head, groups } = await buildLog(storage, [1, 2]);
    const before = await rowCounts(clusterId);
    const refused = { kind: 'refused', knownRequestIds: [] };
    expect(await storage.append(groupAfter(clusterId, groups[0]!.newHead))).toEqual(refused);
    expect(await storage.append(groupAfter(clusterId, { ...head, root: someHash() }))).toEqual(refused);
    expect(await storage.append(groupAfter(clusterId, { ...head, size: 9 }))).toEqual(refused);
    expect(await storage.append(groupAfter(randomUUID(), head))).toEqual(refused);
    expect(await rowCounts(clusterId)).toEqual(before);
  });

  test('writes nothing in a cluster that is not active, and goes on when it is again', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage, [1]);
    const group = groupAfter(clusterId, head);
    for (const to of ['frozen', 'recovering'] as const) {
      await storage.changeState({ clusterId, from: ['active'], to, reason: 'a test' });
      expect(await storage.append(group)).toEqual({ kind: 'refused', knownRequestIds: [] });
      await storage.changeState({ clusterId, from: [to], to: 'active', reason: '' });
    }
    expect(await storage.append(group)).toEqual({ kind: 'appended' });
  });

  // Seen red without `AND NOT EXISTS (SELECT FROM dup)`: the second append then ends in 23505, a conflict.
  test('names the request ids that are anchored already, and writes nothing of their group', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const [known, fresh] = [randomUUID(), randomUUID()];
    const first = groupAfter(clusterId, head, [{ requestId: known }]);
    expect(await storage.append(first)).toEqual({ kind: 'appended' });
    const before = await rowCounts(clusterId);
    const second = groupAfter(clusterId, first.newHead, [{ requestId: fresh }, {}, { requestId: known }]);
    expect(await storage.append(second)).toEqual({ kind: 'refused', knownRequestIds: [known] });
    expect(await rowCounts(clusterId)).toEqual(before);

    const other = await buildLog(storage);
    const elsewhere = groupAfter(other.clusterId, other.head, [{ requestId: known }]);
    expect(await storage.append(elsewhere)).toEqual({ kind: 'appended' });
  });

  test('lets no second head follow a head, also one of another size', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage, [1]);
    await withClient(database.ownerUrl, async (client) => {
      await client.query('INSERT INTO heads VALUES ($1, 7, $2, 1, $3, $3)', [
        clusterId,
        head.size,
        Buffer.alloc(32),
      ]);
    });
    const before = await rowCounts(clusterId);
    expect(await storage.append(groupAfter(clusterId, head))).toEqual({
      kind: 'refused',
      knownRequestIds: [],
    });
    expect(await rowCounts(clusterId)).toEqual(before);
  });

  test('reports a row past the head as a duplicate key: a deleted tail leaves such rows', async () => {
    const { storage } = database;
    const { clusterId, groups } = await buildLog(storage, [1, 1]);
    await withClient(database.superuserUrl, async (client) => {
      await client.query('SET session_replication_role = replica'); // Past the triggers, as an attacker would go.
      await client.query('DELETE FROM heads WHERE cluster_id = $1 AND size = 2', [clusterId]);
    });
    const outcome = await storage.append(groupAfter(clusterId, groups[0]!.newHead));
    expect(outcome).toMatchObject({ kind: 'conflict', duplicateKey: true });
  });

  test('rejects what cannot be stored, as a whole', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage, [1]);
    const before = await rowCounts(clusterId);
    const tooLong = groupAfter(clusterId, head, [{}, { record: new Uint8Array(2049) }]);
    expect(await storage.append(tooLong)).toMatchObject({ kind: 'rejected', cause: { code: '23514' } });
    const good = groupAfter(clusterId, head);
    const tooMany = { ...good, entries: [{ ...good.entries[0]!, leafCount: 2 ** 31 }] };
    expect(await storage.append(tooMany)).toMatchObject({ kind: 'rejected', cause: { code: '22003' } });
    const nul = { ...good, entries: [{ ...good.entries[0]!, requestId: '\0' }] };
    expect(await storage.append(nul)).toMatchObject({ kind: 'rejected', cause: { code: '22021' } });
    expect(await rowCounts(clusterId)).toEqual(before);
    expect(await storage.append(good)).toEqual({ kind: 'appended' });
  });

  test('throws for a group that does not lead from its old head to its new one, before sending it', async () => {
    const { storage } = database;
    const group = groupAfter(randomUUID(), newCluster().genesis, [{}, {}]);
    const entries = [...group.entries].reverse();
    const short = [{ ...group.entries[0]!, recordHash: new Uint8Array(31) }, group.entries[1]!];
    await expect(storage.append({ ...group, entries })).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(storage.append({ ...group, entries: short })).rejects.toMatchObject({ code: 'INTERNAL' });
    await expect(storage.append({ ...group, entries: [] })).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  test('takes a group of a thousand entries and a batch of a hundred thousand leaves', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const many = groupAfter(clusterId, head, Array(1000).fill({}));
    expect(await storage.append(many)).toEqual({ kind: 'appended' });
    const big = groupAfter(clusterId, many.newHead, [{ leafCount: 100_000 }]);
    await storage.storeBatch(clusterId, big.batches[0]!, NEVER);
    await storage.storeBatch(clusterId, big.batches[0]!, NEVER);
    const { anchorId } = big.batches[0]!;
    expect(await storage.append({ ...big, batches: [], storedBatches: [anchorId] })).toEqual({
      kind: 'appended',
    });
    const range = { anchorId: big.batches[0]!.anchorId, column: 'leaves', first: 99_999, count: 1 } as const;
    const [last] = await storage.readBatchRanges(clusterId, [range]);
    expect(last).toEqual(big.batches[0]!.leaves.slice(-32));
  });
});
