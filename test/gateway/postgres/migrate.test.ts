import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { outboxGrantSql, outboxMigrationSql, postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import { openTestDatabase, type TestDatabase } from '../../support/database.ts';
import { withClient } from '../../support/postgres-template.ts';
import { contextOf, leafOf } from '../outbox-contract.ts';
import { anchorOf, EVENTS, eventIdOf, inTransaction, taken } from './gateway-database.ts';

let database: TestDatabase;
let owner: pg.Pool;
beforeEach(async () => {
  database = await openTestDatabase();
  owner = new pg.Pool({ connectionString: database.ownerUrl, max: 8 });
  owner.on('error', () => {});
});
afterEach(async () => {
  await owner.end();
  await database.close();
});

async function openAs(pool: pg.Pool, options: object = {}): Promise<void> {
  const outbox = postgresOutbox({ pool, ...options });
  await outbox.open(contextOf());
  await outbox.close();
}

describe('the tables of the outbox', () => {
  test('are missing at first: open says what to run', async () => {
    const opened = openAs(owner);
    await expect(opened).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
    await expect(opened).rejects.toThrow(/"quartermaster_outbox" are not there: run .*outbox\.migrate\(\)/);
  });

  // Red without the lock: two make one table.
  test('are made once by any number of replicas that start together, and again is harmless', async () => {
    await Promise.all(Array.from({ length: 8 }, () => postgresOutbox({ pool: owner }).migrate()));
    await postgresOutbox({ pool: owner }).migrate();
    const { rows } = await owner.query('SELECT version FROM quartermaster_outbox.outbox_migrations');
    expect(rows).toEqual([{ version: 1 }]);
    await openAs(owner);
  });

  test('are found too old where a migration was not recorded', async () => {
    await postgresOutbox({ pool: owner }).migrate();
    await owner.query('DELETE FROM quartermaster_outbox.outbox_migrations');
    await expect(openAs(owner)).rejects.toThrow('are of version 0, and 1 is needed');
  });

  test('can be made by the printed SQL, in a schema of any name, and then migrate finds nothing to do', async () => {
    const schema = `It's "our" \\ schema`;
    await owner.query(outboxMigrationSql({ schema }));
    await postgresOutbox({ pool: owner, schema }).migrate();
    await openAs(owner, { schema });
    expect(outboxMigrationSql({ schema, since: 1 })).toBe('');
  });

  test('fit into a schema that is there, without the right to make one', async () => {
    const role = `${database.applicationRole}_plain`;
    await withClient(database.superuserUrl, async (client) => {
      await client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; CREATE SCHEMA apart AUTHORIZATION ${role}`);
    });
    const pool = new pg.Pool({ connectionString: urlOf(role) });
    try {
      await expect(postgresOutbox({ pool }).migrate()).rejects.toThrow('the database answered 42501');
      await postgresOutbox({ pool, schema: 'apart' }).migrate();
      await openAs(pool, { schema: 'apart' });
    } finally {
      await pool.end();
      await withClient(database.superuserUrl, async (client) => {
        await client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
      });
    }
  });
});

describe('the role of the gateway', () => {
  const role = () => `${database.applicationRole}_gateway`;
  let pool: pg.Pool;
  beforeEach(async () => {
    await withClient(database.superuserUrl, async (client) => {
      await client.query(`CREATE ROLE ${role()} LOGIN PASSWORD 'x'`);
      // Some installations take away what everybody has by default.
    });
    await owner.query(EVENTS);
    await postgresOutbox({ pool: owner }).migrate();
    // Some installations take away what everybody has by default.
    await owner.query('REVOKE ALL ON FUNCTION quartermaster_outbox.outbox_take FROM PUBLIC');
    pool = new pg.Pool({ connectionString: urlOf(role()) });
  });
  afterEach(async () => {
    await pool.end();
    await withClient(database.superuserUrl, async (client) => {
      await client.query(`DROP OWNED BY ${role()}; DROP ROLE ${role()}`);
    });
  });

  // Red when any one of the grants is left out of the list.
  test('needs no more than the printed grants for the whole life of a leaf', async () => {
    const events = { table: 'audit_events', only: { body: ['x'] } };
    await owner.query(outboxGrantSql({ role: role(), events }));
    await owner.query(`GRANT INSERT ON audit_events TO ${role()}`);
    const outbox = postgresOutbox({ pool, events });
    await outbox.open(contextOf());
    await inTransaction(pool, async (client) => {
      await client.query("INSERT INTO audit_events (event_id, body) VALUES ($1, 'x'), ($2, 'x')", [
        eventIdOf(1),
        eventIdOf(2),
      ]);
      await outbox.enqueue(client, { eventId: eventIdOf(1), leaf: leafOf(1) });
    });
    await outbox.append(leafOf(2), undefined);
    const batch = await taken(outbox, 1);
    const dead = await taken(outbox, 1);
    const checkpoint = `o.example\n1\n${Buffer.alloc(32).toString('base64')}\n\n— o.example ${Buffer.alloc(68, 1).toString('base64')}\n`;
    expect(await outbox.settle(batch, { ...anchorOf(1), checkpoint })).toBe(true);
    await outbox.bury(dead, { status: 'NOT_FOUND', reason: '', message: '' });
    for await (const letter of outbox.deadLetters()) expect(await outbox.revive(letter.id)).toBe(true);
    expect(await outbox.keepEvidence('{}')).toContain('outbox_evidence');
    expect((await outbox.backlog()).leaves).toBe(1);
    expect(await outbox.settled(batch.sequences)).toHaveProperty('size', 1);
    const states: string[] = [];
    for await (const { state } of outbox.unanchored()) states.push(state);
    expect(states).toEqual(['sealed', 'missing']);
    await outbox.close();
  });

  test('is told at open what it lacks', async () => {
    await expect(openAs(pool)).rejects.toThrow(/42501|lacks/);
    await owner.query(outboxGrantSql({ role: role() }));
    await openAs(pool);
    await owner.query(`REVOKE DELETE ON quartermaster_outbox.outbox_leaves FROM ${role()}`);
    await expect(openAs(pool)).rejects.toThrow(
      `lacks DELETE on "quartermaster_outbox".outbox_leaves: outboxGrantSql() tells what to grant`,
    );
    await owner.query(outboxGrantSql({ role: role() }));
    await expect(openAs(pool, { events: { table: 'audit_events' } })).rejects.toThrow(
      /SELECT on "audit_events"\.event_id, .*UPDATE on "audit_events"\.notarized/,
    );
  });

  test('of a program that only enqueues needs INSERT on one table', async () => {
    await owner.query(
      `GRANT USAGE ON SCHEMA quartermaster_outbox TO ${role()}; GRANT INSERT ON quartermaster_outbox.outbox_leaves TO ${role()}`,
    );
    const producer = postgresOutbox({ pool });
    await inTransaction(pool, (client) =>
      producer.enqueue(client, [{ leaf: leafOf(1) }, { leaf: leafOf(2) }]),
    );
    const { rows } = await owner.query(
      'SELECT count(*)::integer AS count FROM quartermaster_outbox.outbox_leaves',
    );
    expect(rows).toEqual([{ count: 2 }]);
  });
});

function urlOf(role: string): string {
  const url = new URL(database.ownerUrl);
  url.username = role;
  url.password = 'x';
  return url.href;
}
