import { closeSync, openSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { CarefulCaller } from '../integration/careful-caller.ts';
import { type NotaryUnderTest, startNotary } from '../integration/notary-under-test.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { CallLog } from './call-log.ts';
import { ChaosClient } from './chaos-client.ts';
import { checkEvidence, type Rule } from './check-evidence.ts';
import { CALLS_FILE, gatherEvidence } from './evidence.ts';
import { Random } from './random.ts';
import { signaturesFile, writeSignature } from './signature-log.ts';

// The evidence of a quiet run on a real database, and of the same run with the database damaged after it.

let database: TestDatabase;
let notary: NotaryUnderTest;
let directory: string;
let client: pg.Client;

beforeAll(async () => {
  database = await openTestDatabase();
  directory = await mkdtemp(join(tmpdir(), 'quartermaster-evidence-'));
  const file = openSync(signaturesFile(directory, 0), 'a');
  const beforeSigning = async (noteText: string) => writeSignature(file, noteText);
  notary = await startNotary({ databaseUrl: database.databaseUrl, beforeSigning });
  const callers = [
    await CarefulCaller.ofNewCluster(notary, notary.seed),
    await CarefulCaller.ofNewCluster(notary, notary.seed),
  ];
  const log = new CallLog(join(directory, CALLS_FILE));
  const clients = [true, false].map(
    (usesRequestIds, i) =>
      new ChaosClient({
        name: `client-${i}`,
        random: new Random(`quiet/${i}`),
        habits: {
          usesRequestIds,
          carriesCheckpoint: true,
          deadlineMs: undefined,
          dropsChannel: false,
          hotShare: 0.8,
        },
        addresses: [notary.address],
        callers,
        log,
      }),
  );
  for (const each of clients) each.start();
  await Promise.all(clients.map((each) => each.whenAnswered(40)));
  await Promise.all(clients.map((each) => each.finish()));
  log.close();
  closeSync(file);
  client = new pg.Client({ connectionString: database.superuserUrl });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await notary.stop();
  await database.close();
  await rm(directory, { recursive: true });
});

async function check(): Promise<ReadonlySet<Rule>> {
  const { databaseUrl } = database;
  const evidence = await gatherEvidence({ directory, client, databaseUrl, seed: notary.seed });
  expect(evidence.fsck).toMatchObject({ ok: true });
  expect(evidence.calls.filter(({ type }) => type === 'answered').length).toBeGreaterThanOrEqual(80);
  expect(evidence.signatures.length).toBeGreaterThan(20);
  return new Set(checkEvidence(evidence).map(({ rule }) => rule));
}

/** In a transaction that only this reader sees, and that is taken back. */
async function checkDamaged(damage: string): Promise<ReadonlySet<Rule>> {
  await client.query('BEGIN; SET LOCAL session_replication_role = replica');
  try {
    const { rowCount } = await client.query(damage);
    expect(rowCount).toBeGreaterThan(0);
    return await check();
  } finally {
    await client.query('ROLLBACK');
  }
}

const HOT = '(SELECT cluster_id FROM anchors GROUP BY 1 ORDER BY count(*) DESC LIMIT 1)';

test('a quiet run leaves nothing to find', async () => {
  expect(await check()).toEqual(new Set());
});

test.each<[damage: string, statement: string, found: readonly Rule[]]>([
  [
    'the newest entries and heads cut off',
    `WITH cut AS (DELETE FROM heads WHERE cluster_id = ${HOT} AND size > 5)
     DELETE FROM anchors WHERE cluster_id = ${HOT} AND log_index >= 5`,
    [
      'every answered anchor is there once, with the answered index',
      'checkpoints are consistent with one another',
      'only committed heads are signed',
    ],
  ],
  [
    'an entry taken out',
    `DELETE FROM anchors WHERE cluster_id = ${HOT} AND log_index = 3`,
    ['every answered anchor is there once, with the answered index', 'log_index has no gaps'],
  ],
  [
    'the records of two entries exchanged',
    `UPDATE anchors a SET record = b.record, record_hash = b.record_hash
     FROM anchors b WHERE a.cluster_id = ${HOT} AND b.cluster_id = a.cluster_id
       AND (a.log_index, b.log_index) IN ((3, 4), (4, 3))`,
    [
      'every answered anchor is there once, with the answered index',
      'checkpoints are consistent with one another',
    ],
  ],
  [
    'a head taken out from between two',
    `DELETE FROM heads WHERE cluster_id = ${HOT}
       AND size = (SELECT min(size) FROM heads WHERE cluster_id = ${HOT} AND size > 6)`,
    ['only committed heads are signed'],
  ],
])('%s: found', async (_, statement, found) => {
  expect([...(await checkDamaged(statement))]).toEqual(expect.arrayContaining([...found]));
});
