import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createPostgresStorage, type PostgresStorage } from '../../src/postgres/storage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { NAMED_STATEMENTS } from '../support/pgbouncer.ts';
import { withClient } from '../support/postgres-template.ts';
import { buildLog, groupAfter } from './log-builder.ts';

const NEVER = new AbortController().signal;
const ANSWER_TIMEOUT_MS = 1000;
const LEAVES_OF_4_MIB = 131_072;

/** Takes in 2 MiB in a second, and writes down the limits that it did it under. */
const SLOW = `
CREATE TABLE limits (bytes int, statement_timeout text, idle_timeout text);
CREATE FUNCTION take_time() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO limits VALUES (octet_length(NEW.leaves), current_setting('statement_timeout'),
    current_setting('idle_in_transaction_session_timeout'));
  PERFORM pg_sleep(octet_length(NEW.leaves) / 2097152.0);
  RETURN NEW;
END
$$;
CREATE TRIGGER slow BEFORE INSERT ON anchor_leaves_default FOR EACH ROW EXECUTE FUNCTION take_time();`;

let database: TestDatabase;
let storage: PostgresStorage;
beforeAll(async () => {
  database = await openTestDatabase();
  await withClient(database.ownerUrl, (client) => client.query(SLOW));
  await withClient(database.superuserUrl, async (client) => {
    for (const setting of ['statement_timeout', 'idle_in_transaction_session_timeout']) {
      await client.query(
        `ALTER ROLE ${database.applicationRole} IN DATABASE ${database.name} SET ${setting} = '1s'`,
      );
    }
  });
  storage = createPostgresStorage({
    databaseUrl: database.databaseUrl,
    namedStatements: NAMED_STATEMENTS,
    answerTimeoutMs: ANSWER_TIMEOUT_MS,
    // One of them for writers.
    poolSize: 3,
  });
});
afterAll(async () => {
  await storage.close();
  await database.close();
});

describe('a big batch', () => {
  // Seen red with the client's limit, and with the server's, of all statements; and (in the second row) with SET for SET LOCAL.
  test('has a second more for each MiB, from the client and from the server, in its own transaction alone', async () => {
    const { clusterId, head } = await buildLog(storage);
    const big = groupAfter(clusterId, head, [{ leafCount: LEAVES_OF_4_MIB }]);
    const [batch] = big.batches;
    await storage.storeBatch(clusterId, batch!, NEVER);
    const stored = { ...big, batches: [], storedBatches: [batch!.anchorId] };
    expect(await storage.append(stored)).toEqual({ kind: 'appended' });
    expect(await storage.append(groupAfter(clusterId, big.newHead))).toEqual({ kind: 'appended' });

    const bytes = batch!.leaves.length + batch!.nodes.length;
    const limitMs = ANSWER_TIMEOUT_MS + Math.ceil((bytes * 1000) / 2 ** 20) + 30_000;
    await withClient(database.ownerUrl, async (client) => {
      const { rows } = await client.query('SELECT * FROM limits ORDER BY bytes DESC');
      expect(rows).toEqual([
        { bytes: 4 * 2 ** 20, statement_timeout: `${limitMs}ms`, idle_timeout: `${limitMs}ms` },
        { bytes: 32, statement_timeout: '1s', idle_timeout: '1s' },
      ]);
    });
  });

  // Seen red without any limit of the client: it waited for the ten seconds of lock_timeout.
  test('is given up on after its time', async () => {
    const { clusterId, head } = await buildLog(storage);
    const [batch] = groupAfter(clusterId, head, [{ leafCount: 10_000 }]).batches;
    await withClient(database.superuserUrl, async (blocker) => {
      await blocker.query('BEGIN');
      await blocker.query('LOCK TABLE anchor_leaves IN ACCESS EXCLUSIVE MODE');
      await expect(storage.storeBatch(clusterId, batch!, NEVER)).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        cause: { name: 'NoAnswer' },
      });
      await blocker.query('ROLLBACK');
    });
    await storage.storeBatch(clusterId, batch!, NEVER);
  });

  test('that the database refuses fails with its reason, and the connection goes on', async () => {
    const { clusterId, head } = await buildLog(storage);
    const [batch] = groupAfter(clusterId, head).batches;
    const torn = { ...batch!, leaves: new Uint8Array(33) };
    await expect(storage.storeBatch(clusterId, torn, NEVER)).rejects.toMatchObject({
      cause: { code: '23514' },
    });
    await storage.storeBatch(clusterId, batch!, NEVER);
  });
});
