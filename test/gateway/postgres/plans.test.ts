import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { leafOf, numbersOf } from '../outbox-contract.ts';
import {
  anchorOf,
  type GatewayDatabase,
  inTransaction,
  openGatewayDatabase,
  taken,
} from './gateway-database.ts';

let gateway: GatewayDatabase;
beforeEach(async () => {
  gateway = await openGatewayDatabase();
});
afterEach(async () => {
  await gateway.close();
});

/** Rows that were read from the queue without its index, so far. */
async function rowsScanned(): Promise<number> {
  const client = await gateway.pool.connect();
  try {
    await client.query('SELECT pg_stat_force_next_flush()');
    const { rows } = await client.query(
      "SELECT seq_tup_read::integer AS read FROM pg_stat_user_tables WHERE relname = 'outbox_leaves'",
    );
    return rows[0].read;
  } finally {
    client.release();
  }
}

describe('what a batch costs', () => {
  // Red when the function's planner settings are taken away: 60,000 rows are read and sorted for each batch.
  test('does not depend on the length of the queue, nor on what statistics say of it', async () => {
    // One connection, so that what it read is flushed by the same one.
    const outbox = await gateway.open({ pool: gateway.newPool({ max: 1 }) });
    await gateway.query('ALTER TABLE quartermaster_outbox.outbox_leaves SET (autovacuum_enabled = false)');
    const leaves = Array.from({ length: 60_000 }, (_, n) => ({ leaf: leafOf(n) }));
    await inTransaction(gateway.pool, (client) => outbox.enqueue(client, leaves));
    // The worst that statistics can say: pages, and nothing on them.
    await inTransaction(gateway.pool, async (client) => {
      await client.query('DELETE FROM quartermaster_outbox.outbox_leaves');
    });
    await gateway.query('INSERT INTO quartermaster_outbox.outbox_leaves (leaf) VALUES ($1)', [leafOf(1)]);
    await gateway.query('VACUUM ANALYZE quartermaster_outbox.outbox_leaves');
    await gateway.query('DELETE FROM quartermaster_outbox.outbox_leaves');
    await inTransaction(gateway.pool, (client) => outbox.enqueue(client, leaves));
    const before = await rowsScanned();
    for (let from = 0; from < 10_000; from += 1_000) {
      const batch = await taken(outbox, 1_000);
      expect(numbersOf(batch.packedLeaves)[0]).toBe(from);
      await outbox.settle(batch, anchorOf(from));
    }
    expect(await outbox.take(60_000, false)).toBeUndefined();
    // Their backend says what it read when its transaction is a second old, or when it ends.
    await gateway.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()',
    );
    expect((await rowsScanned()) - before).toBe(0);
  });
});
