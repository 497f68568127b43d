import { afterEach, describe, expect, test } from '@jest/globals';
import type { GatewayLogger } from '../../src/gateway/logger.ts';
import type {
  BatchAnchor,
  DeadLetter,
  Outbox,
  OutboxContext,
  SealedBatch,
} from '../../src/gateway/outbox.ts';

export const CLUSTER_ID = '0190a1b2-0000-7000-8000-000000000001';

/** What an implementation brings, so that the promises of the port are tested on it. */
export interface OutboxUnderTest {
  /** whether a new outbox on the same store finds what the one before had promised */
  readonly isDurable: boolean;
  /** An empty store. `maxLeaves` is only given where `isBounded`. */
  create(limits: { readonly maxLeaves?: number }): Promise<OutboxStore>;
  /** whether there is a limit that makes OUTBOX_FULL */
  readonly isBounded: boolean;
  /** An event id that the store takes; by default `event-N`. */
  eventId?(n: number): string;
}

export interface OutboxStore {
  /** An outbox on what the store holds, not opened yet; those before are closed. */
  outbox(): Outbox;
  /** Lets go of everything; outboxes are closed. */
  destroy(): Promise<void>;
}

export const silentLog: GatewayLogger = { info() {}, warn() {}, error() {} };

/** Above the numbers that tests give out themselves. */
let requests = 0x1000_0000;

/** What a gateway would tell its outbox; the clock stands still, request_ids are counted. */
export function contextOf(given: Partial<OutboxContext> = {}): OutboxContext {
  return {
    clusterId: CLUSTER_ID,
    now: () => 1_700_000_000_000,
    newRequestId: () => requestId(++requests),
    etcdRevision: () => 0n,
    log: silentLog,
    reached: undefined,
    ...given,
  };
}

/** Leaf number N: 32 bytes that tell which they are. */
export function leafOf(n: number): Uint8Array {
  const leaf = new Uint8Array(32).fill(0x5a);
  new DataView(leaf.buffer).setUint32(28, n);
  return leaf;
}

/** The numbers of packed leaves. */
export function numbersOf(packedLeaves: Uint8Array): number[] {
  const view = new DataView(packedLeaves.buffer, packedLeaves.byteOffset, packedLeaves.byteLength);
  return Array.from({ length: packedLeaves.length / 32 }, (_, index) => view.getUint32(index * 32 + 28));
}

export function requestId(n: number): string {
  return `0190a1b2-0000-7000-9000-${n.toString(16).padStart(12, '0')}`;
}

/** Two or more parts of a batch, cut before each of `cuts`, under new request_ids. */
export function partsOf(batch: SealedBatch, cuts: readonly number[], firstId: number): SealedBatch[] {
  const edges = [0, ...cuts, batch.sequences.length];
  return edges.slice(1).map((end, index) => ({
    ...batch,
    requestId: requestId(firstId + index),
    packedLeaves: batch.packedLeaves.slice((edges[index] ?? 0) * 32, end * 32),
    sequences: batch.sequences.slice(edges[index], end),
    eventIds: batch.eventIds.slice(edges[index], end),
  }));
}

export async function listed<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** A note as a notary signs it; outboxes read no more of it than its origin and its size. */
export function checkpointOf(size: number, origin = 'notary.example/log'): string {
  const root = Buffer.alloc(32, size).toString('base64');
  const signature = Buffer.alloc(4 + 64, 1).toString('base64');
  return `${origin}\n${size}\n${root}\n\n— ${origin} ${signature}\n`;
}

export const ANCHOR: BatchAnchor = { anchorId: requestId(0xaaaa), clusterId: CLUSTER_ID, logIndex: 7 };

const REFUSAL = { status: 'INVALID_ARGUMENT', reason: 'LEAF_REFUSED', message: 'not this one' };

/** Declares the tests of what `outbox.ts` promises. */
export function describeOutbox(kind: string, tested: OutboxUnderTest): void {
  const eventId = (n: number): string => tested.eventId?.(n) ?? `event-${n}`;
  const stores: OutboxStore[] = [];
  const outboxes: Outbox[] = [];

  afterEach(async () => {
    for (const outbox of outboxes.splice(0)) await outbox.close();
    for (const store of stores.splice(0)) await store.destroy();
  });

  async function newStore(limits: { readonly maxLeaves?: number } = {}): Promise<OutboxStore> {
    const store = await tested.create(limits);
    stores.push(store);
    return store;
  }

  async function opened(store: OutboxStore, given: Partial<OutboxContext> = {}): Promise<Outbox> {
    const outbox = store.outbox();
    outboxes.push(outbox);
    await outbox.open(contextOf(given));
    return outbox;
  }

  async function filled(outbox: Outbox, from: number, to: number): Promise<number[]> {
    const sequences: number[] = [];
    for (let n = from; n < to; n++) sequences.push(await outbox.append(leafOf(n), eventId(n)));
    return sequences;
  }

  async function taken(outbox: Outbox, maxLeaves = 100): Promise<SealedBatch> {
    const batch = await outbox.take(maxLeaves, true);
    if (batch === undefined) throw new Error('there is nothing to take');
    return batch;
  }

  describe(`the ${kind} outbox keeps what the port promises:`, () => {
    test('it says what it is', async () => {
      const outbox = await opened(await newStore());
      expect(outbox.kind).toBe(kind);
      expect(outbox.promise).not.toBe('');
    });

    // Red when leaves are taken newest first, or when sequences do not rise.
    test('leaves come back in the order of their append, each with its sequence and its event id', async () => {
      const outbox = await opened(await newStore());
      const sequences = await filled(outbox, 0, 5);
      expect(sequences).toEqual(sequences.toSorted((a, b) => a - b));
      expect(new Set(sequences).size).toBe(5);
      const batch = await taken(outbox);
      expect(numbersOf(batch.packedLeaves)).toEqual([0, 1, 2, 3, 4]);
      expect(batch.sequences).toEqual(sequences);
      expect(batch.eventIds).toEqual([0, 1, 2, 3, 4].map(eventId));
      expect(batch.enqueuedAtMs).toBe(1_700_000_000_000);
    });

    test('appends that run together are all kept, in the order of their calls', async () => {
      const outbox = await opened(await newStore());
      const sequences = await Promise.all(
        Array.from({ length: 300 }, (_, n) => outbox.append(leafOf(n), eventId(n))),
      );
      const batch = await taken(outbox, 300);
      expect(numbersOf(batch.packedLeaves)).toEqual(Array.from({ length: 300 }, (_, n) => n));
      expect(batch.sequences).toEqual(sequences);
    });

    // Red when the caller's array is kept in place of a copy.
    test('a leaf is copied: its array may be used again', async () => {
      const outbox = await opened(await newStore());
      const leaf = leafOf(1);
      const append = outbox.append(leaf, eventId(1));
      leaf.fill(0);
      await append;
      leaf.fill(1);
      expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([1]);
    });

    test('a new batch has at most so many leaves, and fewer only where that is allowed', async () => {
      const outbox = await opened(await newStore());
      expect(await outbox.take(2, true)).toBeUndefined();
      await filled(outbox, 0, 3);
      expect(await outbox.take(4, false)).toBeUndefined();
      expect(numbersOf((await outbox.take(2, false))?.packedLeaves ?? leafOf(99))).toEqual([0, 1]);
      expect(await outbox.take(2, false)).toBeUndefined();
      expect(numbersOf((await taken(outbox, 2)).packedLeaves)).toEqual([2]);
    });

    // Red when a batch in hand is given out a second time.
    test('takes that run together give each leaf once', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 6);
      const batches = await Promise.all([1, 2, 3, 4].map(() => outbox.take(2, true)));
      const all = batches.flatMap((batch) => (batch === undefined ? [] : numbersOf(batch.packedLeaves)));
      expect(all.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
      const ids = batches.flatMap((batch) => (batch === undefined ? [] : [batch.requestId]));
      expect(new Set(ids).size).toBe(3);
    });

    test('the revision is that of the moment of sealing', async () => {
      let revision = 41n;
      const outbox = await opened(await newStore(), { etcdRevision: () => revision });
      await filled(outbox, 0, 1);
      revision = 42n;
      const batch = await taken(outbox);
      revision = 43n;
      expect(batch.etcdRevision).toBe(42n);
      await outbox.release(batch);
      expect((await taken(outbox)).etcdRevision).toBe(42n);
    });

    // Red when release dissolves the batch into leaves.
    test('what is sealed stays sealed: members, order and request_id, whatever comes after', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 3);
      const batch = await taken(outbox);
      await filled(outbox, 3, 5);
      await outbox.release(batch);
      expect(await taken(outbox, 1)).toEqual(batch);
      expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([3, 4]);
    });

    // Red when released batches queue in the order of their release.
    test('a batch that was put back comes before all newer ones', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 6);
      const first = await taken(outbox, 2);
      const second = await taken(outbox, 2);
      await outbox.release(second);
      await outbox.release(first);
      expect((await taken(outbox, 2)).requestId).toBe(first.requestId);
      expect((await taken(outbox, 2)).requestId).toBe(second.requestId);
      expect(numbersOf((await taken(outbox, 2)).packedLeaves)).toEqual([4, 5]);
    });

    test('a settled batch is forgotten; settling it again says that it was not there', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 2);
      const batch = await taken(outbox);
      expect(await outbox.settle(batch, ANCHOR)).toBe(true);
      expect(await outbox.settle(batch, ANCHOR)).toBe(false);
      expect(await outbox.take(10, true)).toBeUndefined();
      expect(await listed(outbox.unanchored())).toEqual([]);
      expect((await outbox.backlog()).leaves).toBe(0);
    });

    // Red when the parts are queued behind newer leaves, or last part first.
    test('the parts of a split batch come in order, before all newer leaves', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 5);
      const batch = await taken(outbox);
      await filled(outbox, 5, 7);
      const parts = partsOf(batch, [1, 3], 0x500);
      expect(await outbox.split(batch, parts)).toBe(true);
      expect(await taken(outbox)).toEqual(parts[0]);
      expect(await taken(outbox)).toEqual(parts[1]);
      expect(await taken(outbox)).toEqual(parts[2]);
      expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([5, 6]);
    });

    test('a split batch itself is gone', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 2);
      const batch = await taken(outbox);
      const parts = partsOf(batch, [1], 0x500);
      await outbox.split(batch, parts);
      expect(await outbox.split(batch, partsOf(batch, [1], 0x600))).toBe(false);
      expect(await outbox.settle(batch, ANCHOR)).toBe(false);
      expect(await outbox.bury(batch, REFUSAL)).toBe(false);
      for (const part of parts) {
        const again = await taken(outbox);
        expect(again.requestId).toBe(part.requestId);
        expect(await outbox.settle(again, ANCHOR)).toBe(true);
      }
      expect(await outbox.take(10, true)).toBeUndefined();
    });

    test('a buried batch is a dead letter, whole, and is sent no more', async () => {
      let nowMs = 1_700_000_000_000;
      const outbox = await opened(await newStore(), { now: () => nowMs });
      await filled(outbox, 0, 3);
      const batch = await taken(outbox, 2);
      nowMs += 5_000;
      expect(await outbox.bury(batch, REFUSAL)).toBe(true);
      expect(await outbox.bury(batch, REFUSAL)).toBe(false);
      const [letter, ...others] = await listed<DeadLetter>(outbox.deadLetters());
      expect(others).toEqual([]);
      expect(letter?.id).toBe(batch.requestId);
      expect(letter?.refusal).toEqual(REFUSAL);
      expect(letter?.buriedAtMs).toBe(nowMs);
      expect(letter?.leaves.map(({ leaf }) => numbersOf(leaf)[0])).toEqual([0, 1]);
      expect(letter?.leaves.map((one) => one.eventId)).toEqual([0, 1].map(eventId));
      expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([2]);
      expect(await outbox.take(10, true)).toBeUndefined();
    });

    test('dead letters are listed oldest first', async () => {
      let nowMs = 1_700_000_000_000;
      const outbox = await opened(await newStore(), { now: () => nowMs });
      await filled(outbox, 0, 3);
      const batches = [await taken(outbox, 1), await taken(outbox, 1), await taken(outbox, 1)];
      const buried = [batches[1]!, batches[2]!, batches[0]!];
      for (const batch of buried) {
        nowMs += 1;
        await outbox.bury(batch, REFUSAL);
      }
      const letters = await listed<DeadLetter>(outbox.deadLetters());
      expect(letters.map(({ id }) => id)).toEqual(buried.map((batch) => batch.requestId));
    });

    // Red when revive makes a new batch: had an earlier try been anchored after all, the events would be anchored twice.
    test('a revived batch is sent again as itself, before newer ones', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 4);
      const batch = await taken(outbox, 2);
      await outbox.bury(batch, REFUSAL);
      expect(await outbox.revive(requestId(0xbad))).toBe(false);
      expect(await outbox.revive(batch.requestId)).toBe(true);
      expect(await outbox.revive(batch.requestId)).toBe(false);
      expect(await listed(outbox.deadLetters())).toEqual([]);
      expect(await taken(outbox)).toEqual(batch);
      expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([2, 3]);
      expect(await outbox.settle(batch, ANCHOR)).toBe(true);
    });

    // Red when a dead letter of a durable outbox is discarded in memory only.
    test('a discarded dead letter is gone for good, and nothing else is', async () => {
      const store = await newStore();
      const outbox = await opened(store);
      await filled(outbox, 0, 4);
      const [dead, kept] = [await taken(outbox, 2), await taken(outbox, 1)];
      await outbox.bury(dead, REFUSAL);
      await outbox.bury(kept, REFUSAL);
      expect(await outbox.discard(requestId(0xbad))).toBe(false);
      expect(await outbox.discard(dead.requestId)).toBe(true);
      expect(await outbox.discard(dead.requestId)).toBe(false);
      expect(await outbox.revive(dead.requestId)).toBe(false);
      let later = outbox;
      if (tested.isDurable) {
        await outbox.close();
        later = await opened(store);
      }
      expect((await listed(later.deadLetters())).map(({ id }) => id)).toEqual([kept.requestId]);
      expect(await later.backlog()).toMatchObject({ leaves: 1, deadLeaves: 1 });
      const live = await taken(later);
      expect(numbersOf(live.packedLeaves)).toEqual([3]);
      // One that is not dead cannot be discarded.
      expect(await later.discard(live.requestId)).toBe(false);
      expect(await later.settle(live, ANCHOR)).toBe(true);
    });

    test('the backlog is counted through the life of the leaves', async () => {
      let nowMs = 1_700_000_000_000;
      const outbox = await opened(await newStore(), { now: () => nowMs });
      const empty = { leaves: 0, unsealed: 0, batches: 0, deadLeaves: 0, oldestAtMs: undefined };
      expect(await outbox.backlog()).toEqual(empty);
      const oldestAtMs = nowMs;
      await filled(outbox, 0, 2);
      nowMs += 10;
      await filled(outbox, 2, 5);
      expect(await outbox.backlog()).toEqual({ ...empty, leaves: 5, unsealed: 5, oldestAtMs });
      const batch = await taken(outbox, 2);
      expect(await outbox.backlog()).toEqual({ ...empty, leaves: 5, unsealed: 3, batches: 1, oldestAtMs });
      await outbox.bury(batch, REFUSAL);
      expect(await outbox.backlog()).toEqual({
        ...empty,
        leaves: 3,
        unsealed: 3,
        deadLeaves: 2,
        oldestAtMs: nowMs,
      });
      await outbox.revive(batch.requestId);
      expect(await outbox.backlog()).toEqual({ ...empty, leaves: 5, unsealed: 3, batches: 1, oldestAtMs });
      const again = await taken(outbox);
      await outbox.split(again, partsOf(again, [1], 0x500));
      expect(await outbox.backlog()).toEqual({ ...empty, leaves: 5, unsealed: 3, batches: 2, oldestAtMs });
      for (let left = 3; left > 0; left--) await outbox.settle(await taken(outbox), ANCHOR);
      expect(await outbox.backlog()).toEqual(empty);
    });

    test('all leaves without an anchor are listed, oldest first, and where each stands', async () => {
      const outbox = await opened(await newStore());
      await filled(outbox, 0, 5);
      const dead = await taken(outbox, 1);
      const anchored = await taken(outbox, 1);
      await taken(outbox, 2);
      await outbox.bury(dead, REFUSAL);
      await outbox.settle(anchored, ANCHOR);
      const all = await listed(outbox.unanchored());
      expect(all.map(({ leaf, eventId, state }) => ({ n: numbersOf(leaf)[0], eventId, state }))).toEqual([
        { n: 0, eventId: eventId(0), state: 'dead' },
        { n: 2, eventId: eventId(2), state: 'sealed' },
        { n: 3, eventId: eventId(3), state: 'sealed' },
        { n: 4, eventId: eventId(4), state: 'queued' },
      ]);
      expect(all.map(({ enqueuedAtMs }) => enqueuedAtMs)).toEqual(Array(4).fill(1_700_000_000_000));
    });

    test('evidence is kept, and where is said', async () => {
      const outbox = await opened(await newStore());
      expect(await outbox.keepEvidence('{"two":"roots"}')).not.toBe('');
    });

    if (tested.isBounded) {
      // Red when nothing is counted, and when what is refused is counted.
      test('a full outbox refuses at once, takes nothing, and goes on once there is room', async () => {
        const outbox = await opened(await newStore({ maxLeaves: 3 }));
        const appends = [0, 1, 2, 3, 4].map((n) => outbox.append(leafOf(n), eventId(n)));
        const results = await Promise.allSettled(appends);
        expect(results.map(({ status }) => status)).toEqual([
          ...['fulfilled', 'fulfilled', 'fulfilled'],
          ...['rejected', 'rejected'],
        ]);
        await expect(outbox.append(leafOf(9), eventId(9))).rejects.toMatchObject({ code: 'OUTBOX_FULL' });
        const batch = await taken(outbox);
        expect(numbersOf(batch.packedLeaves)).toEqual([0, 1, 2]);
        await outbox.settle(batch, ANCHOR);
        await filled(outbox, 3, 6);
        expect(numbersOf((await taken(outbox)).packedLeaves)).toEqual([3, 4, 5]);
      });
    }

    if (!tested.isDurable) return;

    async function reopened(store: OutboxStore, given: Partial<OutboxContext> = {}): Promise<Outbox> {
      await outboxes.pop()?.close();
      return opened(store, given);
    }

    test('a new outbox finds what was sealed as it was, in hand or not, and then what was queued', async () => {
      const store = await newStore();
      const outbox = await opened(store, { etcdRevision: () => 9_007_199_254_740_993n });
      await filled(outbox, 0, 5);
      const first = await taken(outbox, 2);
      const second = await taken(outbox, 1);
      await outbox.release(first);
      const again = await reopened(store);
      expect(await taken(again, 1)).toEqual(first);
      expect(await taken(again, 1)).toEqual(second);
      const third = await taken(again);
      expect(numbersOf(third.packedLeaves)).toEqual([3, 4]);
      expect(third.eventIds).toEqual([3, 4].map(eventId));
    });

    test('a new outbox knows what was settled, split, buried and revived', async () => {
      const store = await newStore();
      const outbox = await opened(store);
      await filled(outbox, 0, 10);
      const settled = await taken(outbox, 2);
      await outbox.settle(settled, ANCHOR);
      const split = await taken(outbox, 2);
      const parts = partsOf(split, [1], 0x500);
      await outbox.split(split, parts);
      await taken(outbox);
      await taken(outbox);
      const buried = await taken(outbox, 2);
      await outbox.bury(buried, REFUSAL);
      const revived = await taken(outbox, 2);
      await outbox.bury(revived, REFUSAL);
      await outbox.revive(revived.requestId);
      const before = await outbox.backlog();
      const again = await reopened(store);
      expect(await again.backlog()).toEqual(before);
      expect((await listed<DeadLetter>(again.deadLetters())).map(({ id }) => id)).toEqual([buried.requestId]);
      expect(await taken(again)).toEqual(parts[0]);
      expect(await taken(again)).toEqual(parts[1]);
      expect(await taken(again)).toEqual(revived);
      expect(numbersOf((await taken(again)).packedLeaves)).toEqual([8, 9]);
      expect(await again.settle(settled, ANCHOR)).toBe(false);
      expect(await again.revive(buried.requestId)).toBe(true);
      expect(await taken(again)).toEqual(buried);
    });

    // Red when sequences begin anew: an application may have kept one.
    test('a new outbox goes on with higher sequences, even when nothing was left', async () => {
      const store = await newStore();
      const outbox = await opened(store);
      const [last = 0] = (await filled(outbox, 0, 3)).slice(-1);
      await outbox.settle(await taken(outbox), ANCHOR);
      const again = await reopened(store);
      const [next = 0] = await filled(again, 3, 4);
      expect(next).toBeGreaterThan(last);
    });

    // Red when the last one settled wins: batches in flight together are answered in any order.
    test('the newest checkpoint of each origin is given to the next process', async () => {
      const store = await newStore();
      const outbox = await opened(store);
      for (const checkpoint of [
        checkpointOf(9),
        checkpointOf(10),
        checkpointOf(8),
        checkpointOf(3, 'notary.example/successor'),
        undefined,
      ]) {
        await filled(outbox, 0, 1);
        await outbox.settle(
          await taken(outbox),
          checkpoint === undefined ? ANCHOR : { ...ANCHOR, checkpoint },
        );
      }
      await outboxes.pop()?.close();
      const again = store.outbox();
      outboxes.push(again);
      const { checkpoints } = await again.open(contextOf());
      expect([...checkpoints].sort()).toEqual([
        checkpointOf(10),
        checkpointOf(3, 'notary.example/successor'),
      ]);
    });
  });
}
