import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { PostgresStorage } from '../../src/postgres/storage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';
import { type BuiltLog, buildLog, groupAfter, newCluster, someHash } from './log-builder.ts';

let database: TestDatabase;
let storage: PostgresStorage;
beforeAll(async () => {
  database = await openTestDatabase();
  storage = database.storage;
});
afterAll(async () => {
  await database.close();
});

/** As somebody who owns the database and knows how to get past the triggers. */
async function tamper(statement: string, values: readonly unknown[]): Promise<void> {
  await withClient(database.superuserUrl, async (client) => {
    await client.query('SET session_replication_role = replica');
    await client.query(statement, [...values]);
  });
}

describe('heads', () => {
  test('are read by size, by the size before, and in pages, with the root before', async () => {
    const { clusterId, groups } = await buildLog(storage, [2, 1, 3]);
    const [first, second, third] = groups.map((group) => group.newHead);
    expect(await storage.readHead(clusterId, 3)).toEqual(second);
    expect(await storage.readHead(clusterId, 1)).toBeUndefined();
    expect(await storage.readHeadAfter(clusterId, 2)).toEqual(second);
    expect(await storage.readHeadAfter(clusterId, 0)).toEqual(first);
    expect(await storage.readHeadAfter(clusterId, 6)).toBeUndefined();
    expect(await storage.listHeads(clusterId, 0, 2)).toEqual([first, second]);
    expect(await storage.listHeads(clusterId, 3, 2)).toEqual([third]);
    expect(await storage.listHeads(clusterId, undefined, 9)).toHaveLength(4);
  });

  test('that lost the head before them, and clusters without heads, are corrupt', async () => {
    const { clusterId } = await buildLog(storage, [2, 1]);
    await tamper('DELETE FROM heads WHERE cluster_id = $1 AND size = 2', [clusterId]);
    await expect(storage.readLog(clusterId)).rejects.toMatchObject({ code: 'CORRUPT' });
    await tamper('DELETE FROM heads WHERE cluster_id = $1', [clusterId]);
    await expect(storage.readLog(clusterId)).rejects.toMatchObject({ code: 'CORRUPT' });
  });

  test('beyond the sizes that JavaScript counts exactly are corrupt, not rounded', async () => {
    const { clusterId } = await buildLog(storage);
    await tamper(`INSERT INTO heads VALUES ($1, 9007199254740993, 0, 1, $2, $2)`, [
      clusterId,
      Buffer.alloc(32),
    ]);
    await expect(storage.readLog(clusterId)).rejects.toMatchObject({ code: 'CORRUPT' });
  });
});

describe('entries', () => {
  test('are found by anchor id, in one cluster or in all', async () => {
    const { clusterId, entries } = await buildLog(storage, [3]);
    const [first, second] = entries;
    expect(await storage.findEntry(first!.anchorId!, undefined)).toEqual({ ...first, clusterId });
    expect(await storage.findEntry(first!.anchorId!, clusterId)).toEqual({ ...first, clusterId });
    expect(await storage.findEntry(first!.anchorId!, randomUUID())).toBeUndefined();
    expect(await storage.findEntry(randomUUID(), undefined)).toBeUndefined();
    const wanted = [second!.anchorId!, randomUUID(), first!.anchorId!];
    const found = await storage.findEntries(clusterId, wanted);
    expect(new Set(found)).toEqual(new Set([first, second]));
    expect(await storage.findEntries(clusterId, [])).toEqual([]);
    expect(await storage.findEntriesByRequestId(clusterId, [])).toEqual([]);
  });

  test('since a time are found as a plain search finds them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 2 }), { maxLength: 40 }),
        fc.array(fc.integer({ min: -1, max: 90 }), { minLength: 1, maxLength: 10 }),
        async (gapsMs, offsetsMs) => {
          const start = 1_700_000_000_000;
          let createdAtMs = start;
          const fields = gapsMs.map((gap) => {
            createdAtMs += gap;
            return { createdAtMs };
          });
          const { clusterId, head } = await buildLog(storage);
          if (fields.length > 0) await storage.append(groupAfter(clusterId, head, fields));
          for (const offset of offsetsMs) {
            const naive = fields.findIndex((field) => field.createdAtMs >= start + offset);
            const found = await storage.firstLogIndexSince(clusterId, start + offset);
            expect(found ?? -1).toBe(naive);
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('since a time are not guessed at where an entry is missing', async () => {
    const { clusterId } = await buildLog(storage, [9]);
    await tamper('DELETE FROM anchors WHERE cluster_id = $1 AND log_index = 4', [clusterId]);
    await expect(storage.firstLogIndexSince(clusterId, 1_700_000_000_007)).rejects.toMatchObject({
      code: 'CORRUPT',
    });
    expect(await storage.firstLogIndexSince(randomUUID(), 0)).toBeUndefined();
  });
});

describe('tiles', () => {
  let log: BuiltLog;
  const nodes = Array.from({ length: 300 }, (_, index) => ({ level: 1, index, hash: someHash() }));
  beforeAll(async () => {
    const cluster = newCluster();
    const { clusterId } = cluster.cluster;
    await storage.createCluster(cluster);
    const group = { ...groupAfter(clusterId, cluster.genesis, Array(600).fill({})), logNodes: nodes };
    await storage.append(group);
    log = { clusterId, head: group.newHead, groups: [group], entries: group.entries };
  });

  test('of every level come in the order asked for', async () => {
    const ranges = [
      { level: 1, first: 44, count: 256 },
      { level: 0, first: 256, count: 256 },
      { level: 0, first: 599, count: 1 },
      { level: 1, first: 0, count: 0 },
      { level: 0, first: 0, count: 3 },
    ];
    const expected = ranges.map(({ level, first, count }) => {
      const all = level === 0 ? log.entries.map((entry) => entry.recordHash) : nodes.map((node) => node.hash);
      return new Uint8Array(Buffer.concat(all.slice(first, first + count)));
    });
    expect(await storage.readLogTiles(log.clusterId, ranges)).toEqual(expected);
    expect(await storage.readLogTiles(log.clusterId, [])).toEqual([]);
  });

  test('with a hash missing are corrupt', async () => {
    for (const range of [
      { level: 0, first: 590, count: 11 },
      { level: 1, first: 299, count: 2 },
      { level: 2, first: 0, count: 1 },
    ]) {
      await expect(storage.readLogTiles(log.clusterId, [range])).rejects.toMatchObject({ code: 'CORRUPT' });
    }
  });
});

describe('leaves', () => {
  test('that are missing are corrupt', async () => {
    const { clusterId, entries } = await buildLog(storage, [1]);
    const range = { anchorId: entries[0]!.anchorId!, column: 'leaves', first: 0, count: 1 } as const;
    expect(await storage.readBatchRanges(clusterId, [])).toEqual([]);
    expect(await storage.readBatchRanges(clusterId, [range])).toHaveLength(1);
    for (const wrong of [{ count: 2 }, { first: 1 }, { anchorId: randomUUID() }]) {
      await expect(storage.readBatchRanges(clusterId, [range, { ...range, ...wrong }])).rejects.toMatchObject(
        { code: 'CORRUPT' },
      );
    }
  });
});
