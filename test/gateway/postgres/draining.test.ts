import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { SealedBatch } from '../../../src/gateway/outbox.ts';
import { postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import { eventually } from '../../support/postgres-waits.ts';
import { contextOf, leafOf, numbersOf } from '../outbox-contract.ts';
import {
  anchorIdOf,
  anchorOf,
  eventIdOf,
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

const insertEvents = 'INSERT INTO audit_events (event_id) SELECT unnest($1::uuid[])';

async function fill(from: number, to: number): Promise<void> {
  const outbox = postgresOutbox({ pool: gateway.pool });
  const ids = Array.from({ length: to - from }, (_, index) => from + index);
  await inTransaction(gateway.pool, async (client) => {
    await client.query(insertEvents, [ids.map(eventIdOf)]);
    await outbox.enqueue(
      client,
      ids.map((n) => ({ eventId: eventIdOf(n), leaf: leafOf(n) })),
    );
  });
}

describe('several replicas on one outbox', () => {
  // Red without FOR UPDATE, or when the leaves sealed are not deleted.
  test.each([
    ['read committed', 3_000],
    ['serializable', 600],
  ])(
    'drain at once while others enqueue, with transactions that are %s: each leaf is in one batch, and every row says where',
    async (isolation, total) => {
      const options = `-c default_transaction_isolation=${isolation.replace(' ', '\\ ')}`;
      const replicas = await Promise.all(
        [1, 2, 3, 4].map(() => gateway.open({ pool: gateway.newPool({ options }) })),
      );
      let anchors = 0;
      let settledLeaves = 0;
      const inBatches = new Map<number, { anchor: number; index: number }>();
      const producing = (async () => {
        for (let from = 0; from < total; from += 100) await fill(from, from + 100);
        for (const [index, outbox] of replicas.entries())
          await outbox.append(leafOf(total + index), undefined);
      })();
      const draining = replicas.map(async (outbox) => {
        while (settledLeaves < total + replicas.length) {
          const batch = await outbox.take(70, true);
          if (batch === undefined) {
            await new Promise((resolve) => setImmediate(resolve));
            continue;
          }
          const anchor = ++anchors;
          numbersOf(batch.packedLeaves).forEach((n, index) => {
            expect(inBatches.has(n)).toBe(false);
            inBatches.set(n, { anchor, index });
            expect(batch.eventIds[index]).toBe(n < total ? eventIdOf(n) : undefined);
          });
          expect(await outbox.settle(batch, anchorOf(anchor))).toBe(true);
          settledLeaves += batch.sequences.length;
        }
      });
      await Promise.all([producing, ...draining]);
      expect(inBatches.size).toBe(total + replicas.length);
      const { rows } = await gateway.query('SELECT * FROM audit_events ORDER BY event_id');
      rows.forEach((row, n) => {
        const { anchor, index } = inBatches.get(n)!;
        expect(row).toMatchObject({ notarized: true, anchor_id: anchorIdOf(anchor), leaf_index: index });
      });
      expect(await replicas[0]!.backlog()).toMatchObject({ leaves: 0, batches: 0 });
    },
  );

  // Red without SKIP LOCKED, in the queue or among the batches.
  test('do not wait for one another', async () => {
    await fill(0, 4);
    const outbox = await gateway.open();
    const abandoned = [await taken(outbox, 1), await taken(outbox, 1)];
    for (const batch of abandoned) await outbox.release(batch);
    const busy = await gateway.pool.connect();
    await busy.query('BEGIN');
    await busy.query('SELECT FROM quartermaster_outbox.outbox_batches WHERE request_id = $1 FOR UPDATE', [
      abandoned[0]!.requestId,
    ]);
    await busy.query('SELECT FROM quartermaster_outbox.outbox_leaves ORDER BY sequence LIMIT 1 FOR UPDATE');
    expect(await taken(outbox, 1)).toEqual(abandoned[1]);
    expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([3]);
    await busy.query('ROLLBACK');
    busy.release();
    expect(await taken(outbox)).toEqual(abandoned[0]);
    expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([2]);
  });

  // Red when leases are never looked at, or when the batch is sealed anew.
  test('what a killed process had sealed is sent by another as it was, before newer leaves', async () => {
    await fill(0, 10);
    // Never closed, and no timer of it runs: as after SIGKILL.
    const killed = postgresOutbox({ pool: gateway.pool, leaseMs: 1_000 });
    await killed.open(contextOf());
    const left = await taken(killed, 6);
    await gateway.query(
      'UPDATE quartermaster_outbox.outbox_batches SET leased_by = $1', // so that nobody renews it
      ['0190a1b2-dead-7000-8000-000000000000'],
    );
    const other = await gateway.open();
    const newer = await taken(other, 2);
    expect(numbersOf(newer.packedLeaves)).toEqual([6, 7]);
    const found = await eventually(async () => {
      const batch = await taken(other, 1);
      if (batch.requestId === left.requestId) return batch;
      await other.settle(batch, anchorOf(1));
      await fill(100 + Number(batch.sequences[0]), 101 + Number(batch.sequences[0]));
      return undefined;
    });
    expect(found).toEqual(left);
    expect(await other.settle(found, anchorOf(2))).toBe(true);
    expect(await killed.settle(left, anchorOf(2))).toBe(false);
    await killed.close();
  });

  // Red when the timer does not renew.
  test('a lease is renewed while the batch is in hand, and free at once when it is put back', async () => {
    const holder = await gateway.open({ leaseMs: 1_000 });
    const other = await gateway.open();
    await fill(0, 3);
    const held = await taken(holder);
    const until = async (): Promise<Date> =>
      (await gateway.query('SELECT leased_until FROM quartermaster_outbox.outbox_batches')).rows[0]
        .leased_until;
    const first = await until();
    await eventually(async () => ((await until()) > new Date(first.getTime() + 1_000) ? true : undefined));
    expect(await other.take(10, true)).toBeUndefined();
    await holder.release(held);
    expect(await taken(other)).toEqual(held);
  });

  // Red when settling asks for the lease: the first answer would be thrown away, and the leaves anchored as another batch.
  test('that two have one batch in hand is harmless: same bytes, and the first answer settles it', async () => {
    const first = await gateway.open();
    const second = await gateway.open();
    await fill(0, 3);
    const one = await taken(first);
    await gateway.query(
      "UPDATE quartermaster_outbox.outbox_batches SET leased_until = now() - interval '1 s'",
    );
    const two = await taken(second);
    expect(two).toEqual(one);
    // The lease is the second one's by now.
    expect(await first.settle(one, anchorOf(5))).toBe(true);
    expect(await second.settle(two, anchorOf(5))).toBe(false);
    const { rows } = await gateway.query('SELECT DISTINCT anchor_id FROM audit_events');
    expect(rows).toEqual([{ anchor_id: anchorIdOf(5) }]);
  });

  test('a replica learns what became of the leaves that others brought home or buried', async () => {
    const submitter = await gateway.open();
    const sender = await gateway.open();
    const sequences: number[] = [];
    for (let n = 0; n < 6; n++) sequences.push(await submitter.append(leafOf(n), undefined));
    const batch = await taken(sender, 3);
    const dead = await taken(sender, 1);
    await sender.settle(batch, anchorOf(3));
    const refusal = { status: 'PERMISSION_DENIED', reason: '', message: 'nul \0 in it' };
    await sender.bury(dead, refusal);
    const outcomes = await submitter.settled(sequences.toReversed());
    expect([...outcomes].toSorted(([a], [b]) => a - b)).toEqual([
      [sequences[0], { anchorId: anchorIdOf(3), leafIndex: 0 }],
      [sequences[1], { anchorId: anchorIdOf(3), leafIndex: 1 }],
      [sequences[2], { anchorId: anchorIdOf(3), leafIndex: 2 }],
      [sequences[3], { refusal: { ...refusal, message: 'nul \ufffd in it' } }],
    ]);
    expect(await submitter.settled([])).toEqual(new Map());
    expect(await submitter.settled([sequences[5]!])).toEqual(new Map());
  });

  test('the older of two checkpoints that replicas keep at once does not win', async () => {
    const replicas = [await gateway.open(), await gateway.open()];
    const note = (size: number): string =>
      `o.example/log\n${size}\n${Buffer.alloc(32, size).toString('base64')}\n\n— o.example/log ${Buffer.alloc(68, 1).toString('base64')}\n`;
    await fill(0, 20);
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const outbox = replicas[index % 2]!;
        const batch: SealedBatch = await taken(outbox, 1);
        await outbox.settle(batch, { ...anchorOf(index), checkpoint: note(((index * 7) % 20) + 1) });
      }),
    );
    const reader = postgresOutbox({ pool: gateway.pool });
    expect(await reader.open(contextOf())).toEqual({ checkpoints: [note(20)] });
    await reader.close();
  });
});
