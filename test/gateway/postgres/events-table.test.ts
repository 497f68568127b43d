import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { GatewayLogger } from '../../../src/gateway/logger.ts';
import { type EventsOptions, outboxGrantSql, postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import { contextOf, leafOf, silentLog } from '../outbox-contract.ts';
import {
  anchorIdOf,
  anchorOf,
  EVENTS,
  eventIdOf,
  type GatewayDatabase,
  inTransaction,
  openGatewayDatabase,
  taken,
} from './gateway-database.ts';

let gateway: GatewayDatabase;
beforeAll(async () => {
  gateway = await openGatewayDatabase('CREATE SCHEMA audit');
});
afterAll(async () => {
  await gateway.close();
});

/** A table of events in place of the one of the test before. */
async function createEvents(sql = EVENTS): Promise<void> {
  await gateway.query('DROP SCHEMA public, audit CASCADE; CREATE SCHEMA public; CREATE SCHEMA audit');
  await gateway.query(sql);
}

/** Anchors leaves with these event ids, and gives what was logged meanwhile. */
async function anchor(events: EventsOptions, eventIds: readonly string[]): Promise<object[]> {
  const warnings: object[] = [];
  const log: GatewayLogger = { ...silentLog, warn: (fields) => warnings.push(fields) };
  const outbox = postgresOutbox({ pool: gateway.pool, events });
  await outbox.open(contextOf({ log, newRequestId: () => crypto.randomUUID() }));
  try {
    await inTransaction(gateway.pool, (client) =>
      outbox.enqueue(
        client,
        eventIds.map((eventId, n) => ({ eventId, leaf: leafOf(n) })),
      ),
    );
    expect(await outbox.settle(await taken(outbox), anchorOf(1))).toBe(true);
    return warnings;
  } finally {
    await outbox.close();
  }
}

const rowsOf = async (text: string): Promise<unknown[]> => (await gateway.query(text)).rows;

describe("anchors in the gateway's own table", () => {
  test.each([
    ['uuid', [eventIdOf(1), eventIdOf(2).toUpperCase()]],
    ['bigint', ['9007199254740993', '-5']],
    ['integer', ['2147483647', '-5']],
    ['smallint', ['32767', '1']],
    ['text', ['Ä event\n"1"', '']],
    ['varchar(20)', ['one', 'two']],
  ])('are written by event ids of type %s', async (type, ids) => {
    await createEvents(EVENTS.replace('event_id uuid', `event_id ${type}`));
    await gateway.query(`INSERT INTO audit_events (event_id) SELECT unnest($1::text[])::${type}`, [ids]);
    expect(await anchor({ table: 'audit_events' }, ids)).toEqual([]);
    const anchored = { notarized: true, anchor_id: anchorIdOf(1) };
    for (const [index, id] of ids.entries()) {
      const { rows } = await gateway.query(
        `SELECT notarized, anchor_id, leaf_index FROM audit_events WHERE event_id = $1::text::${type}`,
        [id],
      );
      expect(rows).toEqual([{ ...anchored, leaf_index: index }]);
    }
  });

  // Red when the text is cast without a look: the whole batch could never be settled.
  test.each([
    ['uuid', eventIdOf(1), ['no uuid', '', `${eventIdOf(2)}0`]],
    ['bigint', '17', ['no number', '', '9223372036854775808', '99999999999999999999', '1.5']],
    ['smallint', '17', ['32768', '1e3']],
  ])('are written although an event id in the batch is no %s', async (type, good, bad) => {
    await createEvents(EVENTS.replace('event_id uuid', `event_id ${type}`));
    await gateway.query(`INSERT INTO audit_events (event_id) VALUES ($1)`, [good]);
    const warnings = await anchor({ table: 'audit_events' }, [...bad, good]);
    expect(warnings).toEqual([{ anchorId: anchorIdOf(1), named: bad.length + 1, found: 1 }]);
    expect(await rowsOf('SELECT leaf_index FROM audit_events')).toEqual([{ leaf_index: bad.length }]);
  });

  // Red when any name is not quoted, or quoted with its quotes as they are.
  test('reach a table whose names nobody would choose', async () => {
    await createEvents(`CREATE SCHEMA "My ""Schema"""; CREATE TABLE "My ""Schema"""."Audit.Events; --" (
      "Event ""Id""" uuid PRIMARY KEY, "Notarized?" boolean, "select" varchar(36), "leaf'index" bigint)`);
    const events = {
      schema: 'My "Schema"',
      table: 'Audit.Events; --',
      columns: {
        eventId: 'Event "Id"',
        notarized: 'Notarized?',
        anchorId: 'select',
        leafIndex: "leaf'index",
      },
    };
    await gateway.query(`INSERT INTO "My ""Schema"""."Audit.Events; --" VALUES ($1)`, [eventIdOf(1)]);
    expect(await anchor(events, [eventIdOf(1)])).toEqual([]);
    expect(await rowsOf('SELECT * FROM "My ""Schema"""."Audit.Events; --"')).toEqual([
      { 'Event "Id"': eventIdOf(1), 'Notarized?': true, select: anchorIdOf(1), "leaf'index": '0' },
    ]);
    await gateway.query(outboxGrantSql({ role: gateway.database.applicationRole, events }));
  });

  test('can do without a flag, and take domains for what they are made of', async () => {
    await createEvents(`CREATE DOMAIN event_number AS bigint CHECK (VALUE > 0);
      CREATE DOMAIN small_event_number AS event_number;
      CREATE TABLE audit_events (event_id small_event_number PRIMARY KEY, anchor_id text, leaf_index integer)`);
    await gateway.query('INSERT INTO audit_events VALUES (5)');
    expect(await anchor({ table: 'audit_events', columns: { notarized: false } }, ['5'])).toEqual([]);
    expect(await rowsOf('SELECT * FROM audit_events')).toEqual([
      { event_id: '5', anchor_id: anchorIdOf(1), leaf_index: 0 },
    ]);
  });

  test('of events that were deleted meanwhile are no error, and are logged', async () => {
    await createEvents();
    await gateway.query('INSERT INTO audit_events (event_id) VALUES ($1)', [eventIdOf(2)]);
    const warnings = await anchor({ table: 'audit_events' }, [eventIdOf(1), eventIdOf(2)]);
    expect(warnings).toEqual([{ anchorId: anchorIdOf(1), named: 2, found: 1 }]);
    expect(await rowsOf('SELECT leaf_index FROM audit_events')).toEqual([{ leaf_index: 1 }]);
  });

  // Red without the ORDER BY of `named`.
  test('of an event with two leaves in one batch are those of the later leaf', async () => {
    await createEvents();
    await gateway.query('INSERT INTO audit_events (event_id) VALUES ($1), ($2)', [
      eventIdOf(1),
      eventIdOf(2),
    ]);
    const twice = [eventIdOf(1), eventIdOf(2), eventIdOf(1)];
    await anchor({ table: 'audit_events' }, twice);
    expect(await rowsOf('SELECT leaf_index FROM audit_events ORDER BY event_id')).toEqual([
      { leaf_index: 2 },
      { leaf_index: 1 },
    ]);
  });

  // Red when a text is compared with the column in place of a value of its type.
  test('are found by the index, from an empty table to many rows without an ANALYZE', async () => {
    await createEvents(`${EVENTS} WITH (autovacuum_enabled = false)`);
    const scans = async (): Promise<{ seq: number; read: number }> => {
      const [row] = await rowsOf(
        "SELECT seq_scan::integer AS seq, seq_tup_read::integer AS read FROM pg_stat_user_tables WHERE relname = 'audit_events'",
      );
      return row as { seq: number; read: number };
    };
    await anchor({ table: 'audit_events' }, [eventIdOf(0)]);
    await gateway.query(
      `INSERT INTO audit_events (event_id) SELECT ('0190ffff-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
       FROM generate_series(1, 50000) AS n`,
    );
    const ids = Array.from({ length: 1_000 }, (_, n) => eventIdOf(n * 50 + 1));
    const client = await gateway.pool.connect();
    await client.query('SELECT pg_stat_force_next_flush()');
    client.release();
    const before = await scans();
    await anchor({ table: 'audit_events' }, ids);
    await gateway.query('SELECT pg_stat_force_next_flush()');
    await gateway.query('SELECT 1');
    expect((await scans()).read).toBe(before.read);
    expect(await rowsOf('SELECT count(*)::integer FROM audit_events WHERE notarized')).toEqual([
      { count: 1_000 },
    ]);
  });

  test.each([
    [{ table: 'nowhere' }, 'there is no table "nowhere"'],
    [{ table: 'audit_events', schema: 'nowhere' }, 'there is no table "nowhere"."audit_events"'],
    [{ table: 'audit_events', columns: { eventId: 'id' } }, 'has no column "id"'],
    [{ table: 'audit_events', columns: { eventId: 'notarized' } }, 'is of type boolean, not uuid, bigint'],
    [{ table: 'audit_events', columns: { anchorId: 'leaf_index' } }, 'is of type integer, not uuid, text'],
    [{ table: 'audit_events', columns: { leafIndex: 'body' } }, 'is of type text, not integer'],
    [{ table: 'audit_events', columns: { notarized: 'body' } }, 'is of type text, not boolean'],
    [{ table: 'audit_events', only: { kind: 'x' } }, 'has no column "kind"'],
  ] satisfies [EventsOptions, string][])('need a table that fits: %j', async (events, said) => {
    await createEvents();
    const opened = postgresOutbox({ pool: gateway.pool, events }).open(contextOf());
    await expect(opened).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
    await expect(opened).rejects.toThrow(said);
  });

  test('are kept from where the search path of the role found the table at open', async () => {
    await createEvents(EVENTS.replace('audit_events', 'audit.audit_events'));
    await gateway.query(`INSERT INTO audit.audit_events (event_id) VALUES ($1)`, [eventIdOf(1)]);
    const pool = gateway.newPool({ options: '-c search_path=audit' });
    const outbox = postgresOutbox({ pool, events: { table: 'audit_events' } });
    await outbox.open(contextOf());
    await outbox.append(leafOf(1), eventIdOf(1));
    await outbox.settle(await taken(outbox), anchorOf(1));
    await outbox.close();
    expect(await rowsOf('SELECT notarized FROM audit.audit_events')).toEqual([{ notarized: true }]);
  });
});
