import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { APPEND } from '../../src/postgres/append.ts';
import { LOCK_CLUSTER } from '../../src/postgres/appender.ts';
import type { Statement } from '../../src/postgres/connection-pool.ts';
import * as entryReader from '../../src/postgres/entry-reader.ts';
import * as logReader from '../../src/postgres/log-reader.ts';
import { createPostgresStorage } from '../../src/postgres/storage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';
import { buildLog, groupAfter } from './log-builder.ts';

/** Every statement, and the indexes that it has to use: no other one ends after a bounded number of rows. */
const EXPECTED: readonly (readonly [Statement, readonly string[]])[] = [
  [APPEND, ['anchor_leaves_default_pkey', 'anchors_request_id_key', 'clusters_pkey', 'heads_pkey']],
  [LOCK_CLUSTER, ['clusters_pkey']],
  [logReader.READ_LOG, ['anchors_pkey', 'clusters_pkey', 'heads_pkey', 'heads_pkey']],
  [logReader.HEADS_FROM, ['heads_pkey', 'heads_pkey']],
  [logReader.HEAD_AFTER, ['heads_pkey', 'heads_prev_size_key']],
  [logReader.READ_TILES, ['anchors_pkey', 'log_nodes_pkey']],
  [entryReader.FIND_BY_ANCHOR_ID, ['anchors_anchor_id_idx']],
  [entryReader.FIND_BY_REQUEST_ID, ['anchors_request_id_key']],
  [entryReader.KNOWN_REQUEST_IDS, ['anchors_request_id_key']],
  [entryReader.FIRST_SINCE, ['anchors_pkey', 'heads_pkey']],
  [entryReader.READ_BATCHES, ['anchor_leaves_default_pkey']],
];

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(async () => {
  await database.close();
});

/** The plans that the application role gets for prepared statements. */
async function expectPlans(): Promise<void> {
  await withClient(database.databaseUrl, async (client) => {
    for (const [statement, indexes] of EXPECTED) {
      await client.query(`PREPARE ${statement.name} AS ${statement.text}`);
      const parameters = Math.max(
        ...[...statement.text.matchAll(/\$(\d+)/g)].map((match) => Number(match[1])),
      );
      const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
        `EXPLAIN (FORMAT JSON) EXECUTE ${statement.name} (${Array(parameters).fill('NULL').join()})`,
      );
      const nodes = flatten(rows[0]!['QUERY PLAN'][0].Plan);
      const scans = nodes.filter((node) => node['Index Name'] !== undefined);
      expect([statement.name, scans.map((node) => node['Index Name']).sort()]).toEqual([
        statement.name,
        [...indexes],
      ]);
      expect(scans.every((node) => node['Index Cond'] !== undefined)).toBe(true);
      const types = nodes.map((node) => node['Node Type']).join(', ');
      expect(types).not.toMatch(/Seq Scan|Bitmap|Hash|Merge Join|Gather/);
    }
  });
}

function flatten(node: PlanNode): readonly PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)];
}

describe('the plans of prepared statements', () => {
  // Seen red with `size = $2` in the place of BETWEEN, ORDER BY and LIMIT (with one entry a cluster the other unique index looks
  // as good), and without the planner settings of the role.
  test('are the same index lookups whatever the statistics say', async () => {
    await expectPlans(); // empty, never analyzed
    await withClient(database.ownerUrl, (client) => client.query('VACUUM ANALYZE'));
    await expectPlans(); // known to be empty
    for (let i = 0; i < 60; i++) await buildLog(database.storage, [1]);
    await withClient(database.ownerUrl, (client) => client.query('VACUUM ANALYZE'));
    await expectPlans(); // known to have one entry a cluster
    await buildLog(database.storage, Array(5).fill(1000));
    await expectPlans(); // grown since
    await withClient(database.ownerUrl, (client) => client.query('VACUUM ANALYZE'));
    await expectPlans();
  });

  test('made on empty tables touch no more rows of a log that has grown', async () => {
    const fresh = await openTestDatabase();
    const storage = createPostgresStorage({ databaseUrl: fresh.databaseUrl, poolSize: 1 });
    const { clusterId, head } = await buildLog(storage);
    let current = head;
    const useEverything = async () => {
      for (let i = 0; i < 50; i++) {
        const requestId = randomUUID();
        const group = groupAfter(clusterId, current, [{ requestId }]);
        expect(await storage.append(group)).toEqual({ kind: 'appended' });
        current = group.newHead;
        const [entry] = group.entries;
        await storage.readLog(clusterId);
        await storage.readHead(clusterId, current.size);
        await storage.readHeadAfter(clusterId, current.prevSize!);
        await storage.listEntries(clusterId, entry!.logIndex, 1);
        await storage.findEntry(entry!.anchorId!, clusterId);
        expect(await storage.findEntriesByRequestId(clusterId, [requestId])).toHaveLength(1);
        await storage.firstLogIndexSince(clusterId, entry!.createdAtMs);
        await storage.readLogTiles(clusterId, [{ level: 0, first: entry!.logIndex, count: 1 }]);
        await storage.readKeys(clusterId);
        await storage.readBatchRanges(clusterId, [
          { anchorId: entry!.anchorId!, column: 'leaves', first: 0, count: 1 },
        ]);
      }
    };
    await useEverything();
    for (let i = 0; i < 20; i++) {
      const group = groupAfter(clusterId, current, Array(1000).fill({}));
      expect(await storage.append(group)).toEqual({ kind: 'appended' });
      current = group.newHead;
    }
    await useEverything();
    await storage.close(); // A connection tells its counters when it ends.
    await withClient(fresh.ownerUrl, async (client) => {
      const { rows } = await client.query<{ scanned: string; looked_up: string }>(
        `SELECT (SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname !~ '^schema_') AS scanned,
           (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes) AS looked_up`,
      );
      expect(Number(rows[0]!.scanned)).toBe(0);
      // About 30 lookups in each of the hundred rounds; a scan of the cluster's 20,000 entries in one of them would be more.
      expect(Number(rows[0]!.looked_up)).toBeGreaterThan(1_000);
      expect(Number(rows[0]!.looked_up)).toBeLessThan(10_000);
    });
    await fresh.close();
  });
});

describe('storage cost', () => {
  test('is at most 45 bytes a leaf in batches of a thousand, indexes included', async () => {
    const fresh = await openTestDatabase();
    const { clusterId, head } = await buildLog(fresh.storage);
    let current = head;
    for (let i = 0; i < 200; i++) {
      const group = groupAfter(clusterId, current, [
        { leafCount: 1000, requestId: randomUUID(), record: new Uint8Array(450) },
      ]);
      await fresh.storage.append(group);
      current = group.newHead;
    }
    await withClient(fresh.ownerUrl, async (client) => {
      const { rows } = await client.query<{ bytes: string }>(
        `SELECT sum(pg_total_relation_size(oid)) AS bytes FROM pg_class
         WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname !~ '^schema_'`,
      );
      const bytesPerLeaf = Number(rows[0]!.bytes) / 200_000;
      expect(bytesPerLeaf).toBeGreaterThan(32);
      expect(bytesPerLeaf).toBeLessThan(45);
    });
    await fresh.close();
  });
});
