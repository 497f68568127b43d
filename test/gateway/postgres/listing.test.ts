import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { leafOf, listed, numbersOf } from '../outbox-contract.ts';
import {
  anchorOf,
  EVENTS,
  eventIdOf,
  type GatewayDatabase,
  inTransaction,
  openGatewayDatabase,
  taken,
} from './gateway-database.ts';

let gateway: GatewayDatabase;
beforeEach(async () => {
  gateway = await openGatewayDatabase(EVENTS.replace('body text', 'body text, classification text'));
});
afterEach(async () => {
  await gateway.close();
});

async function insertEvents(from: number, to: number, classification = 'always_notarize'): Promise<void> {
  const ids = Array.from({ length: to - from }, (_, index) => eventIdOf(from + index));
  await gateway.query('INSERT INTO audit_events (event_id, classification) SELECT unnest($1::uuid[]), $2', [
    ids,
    classification,
  ]);
}

describe('what has no anchor', () => {
  // Red when the batches, the dead letters or the queue are left out of what is held.
  test('is listed with its state, and events that no leaf is of are missing', async () => {
    const outbox = await gateway.open();
    await insertEvents(0, 8);
    for (let n = 0; n < 5; n++)
      await outbox.append(leafOf(n), n === 3 ? eventIdOf(n).toUpperCase() : eventIdOf(n));
    await outbox.settle(await taken(outbox, 1), anchorOf(1));
    await outbox.bury(await taken(outbox, 1), { status: 'NOT_FOUND', reason: '', message: '' });
    await taken(outbox, 1);
    const all = await listed(outbox.unanchored());
    expect(all.map(({ leaf, eventId, state }) => ({ n: numbersOf(leaf), eventId, state }))).toEqual([
      { n: [1], eventId: eventIdOf(1), state: 'dead' },
      { n: [2], eventId: eventIdOf(2), state: 'sealed' },
      { n: [3], eventId: eventIdOf(3).toUpperCase(), state: 'queued' },
      { n: [4], eventId: eventIdOf(4), state: 'queued' },
      ...[5, 6, 7].map((n) => ({ n: [], eventId: eventIdOf(n), state: 'missing' })),
    ]);
  });

  test('is only missing where it should have been notarized', async () => {
    await insertEvents(0, 2);
    await insertEvents(2, 4, 'log_only');
    await insertEvents(4, 6, 'it\'s "odd"');
    const of = async (only: Record<string, string | string[] | boolean>): Promise<(string | undefined)[]> => {
      const outbox = await gateway.open({ events: { table: 'audit_events', only } });
      return (await listed(outbox.unanchored())).map(({ eventId }) => eventId);
    };
    expect(await of({ classification: 'always_notarize' })).toEqual([0, 1].map(eventIdOf));
    expect(await of({ classification: ['log_only', 'it\'s "odd"'] })).toEqual([2, 3, 4, 5].map(eventIdOf));
    expect(await of({ classification: 'log_only', notarized: false })).toEqual([2, 3].map(eventIdOf));
    expect(await of({ notarized: true })).toEqual([]);
  });

  // Red when a page is in the order of the sequences as text, or begins at the last row of the page before.
  test('comes in pages: nothing twice, nothing left out', async () => {
    const outbox = await gateway.open();
    await insertEvents(0, 10_050);
    const queued = Array.from({ length: 2_050 }, (_, n) => ({ leaf: leafOf(n) }));
    await inTransaction(gateway.pool, (client) => outbox.enqueue(client, queued));
    for (let n = 0; n < 20; n++) await taken(outbox, 1);
    const all = await listed(outbox.unanchored());
    const leaves = all.filter(({ state }) => state !== 'missing');
    expect(leaves.map(({ leaf }) => numbersOf(leaf)[0])).toEqual(queued.map((_, n) => n));
    expect(leaves.filter(({ state }) => state === 'sealed')).toHaveLength(20);
    const missing = all.filter(({ state }) => state === 'missing').map(({ eventId }) => eventId);
    expect(missing).toEqual(Array.from({ length: 10_050 }, (_, n) => eventIdOf(n)));
  });

  // Red without the last look at the batches.
  test('is not left out because it is sealed while the list is read', async () => {
    const outbox = await gateway.open();
    for (let n = 0; n < 4; n++) await outbox.append(leafOf(n), undefined);
    await taken(outbox, 1);
    const seen: number[] = [];
    for await (const { leaf } of outbox.unanchored()) {
      if (seen.length === 0) await taken(outbox, 3);
      seen.push(...numbersOf(leaf));
    }
    expect(new Set(seen)).toEqual(new Set([0, 1, 2, 3]));
  });

  test('dead letters come in pages, oldest first', async () => {
    const outbox = await gateway.open();
    for (let n = 0; n < 20; n++) await outbox.append(leafOf(n), undefined);
    for (let n = 0; n < 20; n++)
      await outbox.bury(await taken(outbox, 1), { status: 'NOT_FOUND', reason: 'r', message: `${n}` });
    const letters = await listed(outbox.deadLetters());
    expect(letters.map(({ refusal }) => refusal.message)).toEqual(letters.map((_, n) => `${n}`));
    expect(letters).toHaveLength(20);
    expect(await outbox.revive('no uuid')).toBe(false);
  });
});
