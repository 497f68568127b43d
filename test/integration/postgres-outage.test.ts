import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/cli/dev/embedded-postgres.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { behindPooler, type PgBouncer, startPoolerOfRun } from '../support/pgbouncer.ts';
import { makeTemporaryDirectory } from '../support/postgres-server.ts';
import { createTemplate, withClient } from '../support/postgres-template.ts';
import { eventually, waitingBackend } from '../support/postgres-waits.ts';
import { CarefulCaller, leavesNamed } from './careful-caller.ts';
import { type NotaryUnderTest, startNotary } from './notary-under-test.ts';
import { expectRefusal } from './refusals.ts';

// On a Postgres of its own, which is stopped and started under a running server.

let root: string;
let postgres: EmbeddedPostgres;
let pooler: PgBouncer | undefined;
let database: TestDatabase;
let server: NotaryUnderTest;
let caller: CarefulCaller;

const startPostgres = (port: number) =>
  startEmbeddedPostgres({
    directory: join(root, 'postgres'),
    port,
    log: () => {},
    settings: { max_prepared_transactions: '1' },
  });

beforeAll(async () => {
  root = await makeTemporaryDirectory();
  postgres = await startPostgres(0);
  const template = await createTemplate(postgres.superuserUrl);
  pooler = await startPoolerOfRun(postgres.superuserUrl);
  database = await openTestDatabase(behindPooler(template, pooler));
  server = await startNotary({ databaseUrl: database.databaseUrl, outcomePatienceMs: 300 });
  caller = await CarefulCaller.ofNewCluster(server, server.seed);
});
afterAll(async () => {
  await server.stop();
  await database.close();
  await pooler?.stop();
  await postgres.stop();
  await rm(root, { recursive: true, force: true });
});

/**
 * Stops Postgres while an append waits inside of it for a lock; resolves when it is down, to the call. The lock is a prepared
 * transaction's, which no shutdown ends: one that ended first would let the append through.
 */
async function stopInMidCall(appending: () => Promise<unknown>): Promise<{ call: Promise<unknown> }> {
  return await withClient(database.superuserUrl, async (observer) => {
    await observer.query('BEGIN');
    await observer.query('SELECT FROM clusters WHERE cluster_id = $1 FOR UPDATE', [caller.clusterId]);
    await observer.query(`PREPARE TRANSACTION 'lock'`);
    const call = appending();
    call.catch(() => {});
    await waitingBackend(observer, 'Lock', /INSERT INTO heads/);
    await postgres.stop();
    return { call };
  });
}

async function releaseLock(): Promise<void> {
  await withClient(database.superuserUrl, (client) => client.query(`ROLLBACK PREPARED 'lock'`));
}

// Seen red with a lost answer taken for a failed append, and with the cause's message in the answer.
test('Postgres stopped in mid-call is UNAVAILABLE, and after it returns the same request_id succeeds once', async () => {
  const { clusterId } = caller;
  const requestId = randomUUID();
  const leaves = leavesNamed('in mid-call', 2);
  const known = (await caller.anchor(server, leavesNamed('before'))).verified.checkpoint;
  const send = () => server.notary.createAnchor({ clusterId, packedLeaves: leaves, requestId });
  const { port } = postgres;

  const { call } = await stopInMidCall(send);
  await expectRefusal(call, {
    code: 'UNAVAILABLE',
    reason: 'OUTCOME_UNKNOWN',
    retry: true,
    message: /same request_id/,
  });
  // While it is away every call says so, without a word about where the database is.
  const away = { code: 'UNAVAILABLE', reason: 'STORAGE_UNAVAILABLE', retry: true };
  await expectRefusal(send(), away);
  await expectRefusal(server.notary.getCheckpoint({ clusterId }), away);
  await expectRefusal(server.registry.listClusters({}), away);

  postgres = await startPostgres(port);
  await releaseLock();
  const anchored = await eventually(async () =>
    caller.anchor(server, leaves, { requestId, known }).catch(() => undefined),
  );
  const again = await caller.anchor(server, leaves, { requestId, known });
  expect(again.response.replayed).toBe(true);
  expect(again.response.record).toEqual(anchored.response.record);
  expect(again.verified.checkpoint.size).toBe(2);

  const { anchors } = await server.notary.listAnchors({ clusterId });
  expect(anchors.map((anchor) => anchor.requestId)).toEqual(['', requestId]);
  expect(await caller.fsck(database.storage, server.seed)).toMatchObject({ entries: 2, finding: undefined });
});
