import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { outboxGrantSql, postgresOutbox } from '../../src/gateway/postgres/index.ts';
import { contextOf, leafOf, numbersOf } from '../gateway/outbox-contract.ts';
import { anchorOf, EVENTS, eventIdOf, inTransaction } from '../gateway/postgres/gateway-database.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { SERVER_CONNECTIONS } from '../support/pgbouncer.ts';
import { withClient } from '../support/postgres-template.ts';

const GATEWAYS = 3;
const EVENTS_EACH = 200;

let database: TestDatabase;
let pools: readonly pg.Pool[];
beforeAll(async () => {
  database = await openTestDatabase();
  pools = Array.from({ length: GATEWAYS }, () => {
    const pool = new pg.Pool({ connectionString: database.databaseUrl, max: 4 });
    pool.on('error', () => {});
    return pool;
  });
});
afterAll(async () => {
  for (const pool of pools) await pool.end();
  await database.close();
});

// Red when leases are advisory locks of the session, when statements are named, or when planner settings are made with SET.
test('gateways that share fewer connections than they have lose no leaf, and anchor none twice', async () => {
  expect(pools.length * 4).toBeGreaterThan(SERVER_CONNECTIONS);
  const events = { table: 'audit_events' };
  await withClient(database.ownerUrl, async (client) => {
    await client.query(EVENTS);
    await client.query(`GRANT INSERT ON audit_events TO ${database.applicationRole}`);
    const owner = new pg.Pool({ connectionString: database.ownerUrl, max: 1 });
    await postgresOutbox({ pool: owner }).migrate();
    await owner.end();
    await client.query(outboxGrantSql({ role: database.applicationRole, events }));
  });
  const outboxes = pools.map((pool) => postgresOutbox({ pool, events, leaseMs: 1_000 }));
  for (const outbox of outboxes) await outbox.open(contextOf({ newRequestId: () => crypto.randomUUID() }));

  const total = GATEWAYS * EVENTS_EACH;
  const seen = new Set<number>();
  let anchors = 0;
  const gatewayLife = outboxes.map(async (outbox, gateway) => {
    const pool = pools[gateway]!;
    const enqueueing = Array.from({ length: EVENTS_EACH }, async (_, index) => {
      const n = gateway * EVENTS_EACH + index;
      if (index % 2 === 0) {
        await inTransaction(pool, async (client) => {
          await client.query('INSERT INTO audit_events (event_id) VALUES ($1)', [eventIdOf(n)]);
          await outbox.enqueue(client, { eventId: eventIdOf(n), leaf: leafOf(n) });
        });
      } else {
        await pool.query('INSERT INTO audit_events (event_id) VALUES ($1)', [eventIdOf(n)]);
        await outbox.append(leafOf(n), eventIdOf(n));
      }
    });
    while (seen.size < total) {
      const batch = await outbox.take(25, true);
      if (batch === undefined) continue;
      for (const n of numbersOf(batch.packedLeaves)) {
        expect(seen.has(n)).toBe(false);
        seen.add(n);
      }
      expect(await outbox.settle(batch, anchorOf(++anchors))).toBe(true);
    }
    await Promise.all(enqueueing);
  });
  await Promise.all(gatewayLife);

  await withClient(database.ownerUrl, async (client) => {
    const { rows } = await client.query(
      'SELECT count(*)::integer AS events, count(DISTINCT (anchor_id, leaf_index))::integer AS places FROM audit_events WHERE notarized',
    );
    expect(rows).toEqual([{ events: total, places: total }]);
  });
  for (const outbox of outboxes) await outbox.close();
});
