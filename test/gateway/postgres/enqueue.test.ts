import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely';
import { createGateway } from '../../../src/gateway/create-gateway.ts';
import { postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import { leafOf, numbersOf, silentLog } from '../outbox-contract.ts';
import {
  anchorIdOf,
  anchorOf,
  eventIdOf,
  type GatewayDatabase,
  inTransaction,
  openGatewayDatabase,
  taken,
} from './gateway-database.ts';

interface Tables {
  auditEvents: { eventId: string; body: string | null };
}

let gateway: GatewayDatabase;
beforeEach(async () => {
  gateway = await openGatewayDatabase();
});
afterEach(async () => {
  await gateway.close();
});

const insertEvent = 'INSERT INTO audit_events (event_id, body) VALUES ($1, $2)';

describe('enqueue, in a transaction of the gateway', () => {
  test('takes the leaf with the event, and the answer is written to the row of the event', async () => {
    const outbox = await gateway.open();
    await inTransaction(gateway.pool, async (client) => {
      await client.query(insertEvent, [eventIdOf(1), 'one']);
      await outbox.enqueue(client, { eventId: eventIdOf(1), leaf: leafOf(1) });
    });
    const batch = await taken(outbox);
    expect(numbersOf(batch.packedLeaves)).toEqual([1]);
    expect(batch.eventIds).toEqual([eventIdOf(1)]);
    expect(await outbox.settle(batch, anchorOf(7))).toBe(true);
    const { rows } = await gateway.query('SELECT notarized, anchor_id, leaf_index FROM audit_events');
    expect(rows).toEqual([{ notarized: true, anchor_id: anchorIdOf(7), leaf_index: 0 }]);
  });

  // Red when enqueue takes a connection of its own from the pool.
  test('leaves nothing behind when the transaction is rolled back', async () => {
    const outbox = await gateway.open();
    const failed = inTransaction(gateway.pool, async (client) => {
      await client.query(insertEvent, [eventIdOf(1), 'one']);
      await outbox.enqueue(client, { eventId: eventIdOf(1), leaf: leafOf(1) });
      throw new Error('the gateway changed its mind');
    });
    await expect(failed).rejects.toThrow('changed its mind');
    expect(await outbox.take(10, true)).toBeUndefined();
    expect((await outbox.backlog()).leaves).toBe(0);
  });

  // Red when a gateway that is disabled does not tell its outbox: the queue would grow for ever.
  test('keeps nothing where the gateway is disabled', async () => {
    const outbox = postgresOutbox({ pool: gateway.pool });
    await using disabled = createGateway({ endpoint: 'nowhere:1', clusterId: '', outbox, logger: silentLog });
    await inTransaction(gateway.pool, async (client) => {
      await client.query(insertEvent, [eventIdOf(1), 'one']);
      await outbox.enqueue(client, { eventId: eventIdOf(1), leaf: leafOf(1) });
    });
    expect(await disabled.flush()).toMatchObject({ leaves: 0 });
    const draining = await gateway.open();
    expect((await draining.backlog()).leaves).toBe(0);
  });

  test('works with a transaction of Kysely, whatever plugins it has', async () => {
    const outbox = await gateway.open();
    const db = new Kysely<Tables>({
      dialect: new PostgresDialect({ pool: gateway.newPool() }),
      plugins: [new CamelCasePlugin()],
    });
    await db.transaction().execute(async (tx) => {
      await tx
        .insertInto('auditEvents')
        .values({ eventId: eventIdOf(1), body: 'one' })
        .execute();
      await outbox.enqueue(tx, { eventId: eventIdOf(1), leaf: leafOf(1) });
    });
    const failed = db.transaction().execute(async (tx) => {
      await outbox.enqueue(tx, { eventId: eventIdOf(2), leaf: leafOf(2) });
      throw new Error('rolled back');
    });
    await expect(failed).rejects.toThrow('rolled back');
    expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([1]);
    expect(await outbox.take(10, true)).toBeUndefined();
  });

  // Red when the ORDER BY of the insert is descending.
  test('takes several leaves in one statement, in the order given, with or without event ids', async () => {
    const outbox = await gateway.open();
    const leaves = Array.from({ length: 500 }, (_, n) => ({
      leaf: leafOf(n),
      eventId: n % 3 === 0 ? undefined : eventIdOf(n),
    }));
    await inTransaction(gateway.pool, async (client) => {
      await outbox.enqueue(client, leaves);
      await outbox.enqueue(client, []);
    });
    const batch = await taken(outbox);
    expect(numbersOf(batch.packedLeaves)).toEqual(leaves.map((_, n) => n));
    expect(batch.eventIds).toEqual(leaves.map(({ eventId }) => eventId));
  });

  test('needs no open outbox: another process drains', async () => {
    const producer = postgresOutbox({ pool: gateway.pool });
    await inTransaction(gateway.pool, (client) => producer.enqueue(client, { leaf: leafOf(4) }));
    expect(numbersOf((await taken(await gateway.open())).packedLeaves)).toEqual([4]);
  });

  test('refuses what is no leaf or no event id before it reaches the transaction', async () => {
    const outbox = await gateway.open();
    await inTransaction(gateway.pool, async (client) => {
      const refused = [
        outbox.enqueue(client, { leaf: new Uint8Array(31) }),
        outbox.enqueue(client, { leaf: 'a'.repeat(32) as never }),
        outbox.enqueue(client, { leaf: leafOf(1), eventId: 'nul \0' }),
        outbox.enqueue(client, { leaf: leafOf(1), eventId: 'half \ud800' }),
        outbox.enqueue(client, [{ leaf: leafOf(1) }, { leaf: new Uint8Array(33) }]),
      ];
      for (const each of refused) await expect(each).rejects.toMatchObject({ code: 'BAD_EVENT' });
      await outbox.enqueue(client, { leaf: leafOf(2) });
    });
    expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([2]);
  });

  test('is never refused because the outbox is full: only append is', async () => {
    const outbox = await gateway.open({ maxLeaves: 2 });
    await inTransaction(gateway.pool, (client) =>
      outbox.enqueue(
        client,
        [1, 2, 3].map((n) => ({ leaf: leafOf(n) })),
      ),
    );
    await expect(outbox.append(leafOf(4), undefined)).rejects.toMatchObject({ code: 'OUTBOX_FULL' });
    expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([1, 2, 3]);
  });

  // Red when rows are taken from a remembered sequence on, or when sealing waits for locks.
  test('a slow transaction holds up nobody, and its leaf is not lost when later ones were sealed before', async () => {
    const outbox = await gateway.open();
    const slow = await gateway.pool.connect();
    await slow.query('BEGIN');
    await outbox.enqueue(slow, { eventId: eventIdOf(1), leaf: leafOf(1) });
    await inTransaction(gateway.pool, (client) => outbox.enqueue(client, { leaf: leafOf(2) }));
    await outbox.append(leafOf(3), undefined);
    const early = await taken(outbox);
    expect(numbersOf(early.packedLeaves)).toEqual([2, 3]);
    expect(await outbox.settle(early, anchorOf(1))).toBe(true);
    await outbox.append(leafOf(4), undefined);
    await slow.query('COMMIT');
    slow.release();
    const late = await taken(outbox);
    expect(numbersOf(late.packedLeaves)).toEqual([1, 4]);
    expect(Math.min(...late.sequences)).toBeLessThan(Math.min(...early.sequences));
  });
});
