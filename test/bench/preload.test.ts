// The log that the benchmark starts from is no stage set: the product takes it for its own.

import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { preload } from '../../bench/preload.ts';
import { fastHasher } from '../../src/merkle/fast.ts';
import { fsck } from '../../src/notary/fsck.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import { verifyReceipt } from '../../src/verify/index.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';

const seed = new Uint8Array(randomBytes(32));
/** More than 256 * 8, and no whole number of groups. */
const ANCHORS = 2_053;

let database: TestDatabase;
let server: ServerProcess;
let clusterId: string;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startServerProcess({ databaseUrl: database.databaseUrl, seed });
  const { cluster } = await server.registry.createCluster({ displayName: 'preloaded' });
  clusterId = cluster!.clusterId;
  const { databaseUrl, ownerUrl } = database;
  await preload({
    databaseUrl,
    ownerUrl,
    seed: Buffer.from(seed).toString('hex'),
    clusterId,
    anchors: ANCHORS,
  });
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
});

const check = () =>
  fsck({ storage: database.storage, signing: createSeedSigning(seed), hasher: fastHasher, clusterId });

test('a log that was put there by COPY is one that the server appends to and proves', async () => {
  const { anchors } = await server.notary.listAnchors({ clusterId, pageSize: 1000 });
  const leaf = new Uint8Array(32).fill(5);
  const { logIndex } = await server.notary.createAnchor({ clusterId, packedLeaves: leaf });
  expect(Number(logIndex)).toBe(ANCHORS);
  const { keys } = await server.notary.getLog({ clusterId });
  const [first] = anchors;
  const { anchorId } = first!;
  const { receipt } = await server.notary.getInclusionProof({ clusterId, anchorId });
  const verified = verifyReceipt(
    { ...receipt!, logIndex: Number(receipt!.logIndex) },
    { leaf: receipt!.leaf, anchorId },
    { logKeys: keys.map(({ vkey }) => vkey) },
  );
  expect(verified.treeSize).toBe(ANCHORS + 1);
});

// Seen red with times in milliseconds rather than microseconds, with the integers of a row in the other byte order, and
// without the log's nodes.
test('fsck finds everything right, and then what is wrong', async () => {
  expect(await check()).toMatchObject({ clusters: 1, entries: ANCHORS + 1, leaves: ANCHORS + 1 });
  expect((await check()).finding).toBeUndefined();
  await withClient(database.superuserUrl, async (client) => {
    await client.query('SET session_replication_role = replica');
    await client.query('DELETE FROM log_nodes WHERE cluster_id = $1 AND index = 3', [clusterId]);
  });
  expect((await check()).finding).toBeDefined();
});
