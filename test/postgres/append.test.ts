import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { batchOf, buildLog, entryOf, groupAfter, newCluster, someHash } from './log-builder.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(async () => {
  await database.close();
});

describe('the append statement', () => {
  test('writes head, entries, leaves and log nodes, and reads give them back as they were', async () => {
    const { storage } = database;
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
    expect(snapshot).toMatchObject({ head: group.newHead, lastCreatedAtMs: group.entries[2]!.createdAtMs });
    expect(await storage.listEntries(clusterId, 0, 10)).toEqual(group.entries);
    expect(await storage.listEntries(clusterId, 1, 1)).toEqual([group.entries[1]]);
    expect(await storage.findEntriesByRequestId(clusterId, [randomUUID(), requestId])).toEqual([
      group.entries[0],
    ]);
    const [batch] = group.batches;
    expect(
      await storage.readBatchRanges(clusterId, [
        { anchorId: batch!.anchorId, column: 'leaves', first: 256, count: 256 },
        { anchorId: batch!.anchorId, column: 'nodes', first: 0, count: 2 },
        { anchorId: group.batches[2]!.anchorId, column: 'leaves', first: 1, count: 2 },
      ]),
    ).toEqual([batch!.leaves.slice(256 * 32, 512 * 32), batch!.nodes, group.batches[2]!.leaves.slice(32)]);
    expect(
      await storage.readLogTiles(clusterId, [
        { level: 2, first: 5, count: 1 },
        { level: 1, first: 0, count: 1 },
      ]),
    ).toEqual([group.logNodes[1]!.hash, group.logNodes[0]!.hash]);
  });
});
