import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import type { Gateway } from '../../src/gateway/gateway.ts';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { callFailed, MemoryLink } from './memory-link.ts';
import { CLUSTER_ID, leafOf, numbersOf, silentLog } from './outbox-contract.ts';
import { VirtualTime } from './virtual-environment.ts';

const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MAX_DELAY_MS = 120_000;

/** A gateway in virtual time, and a notary that is away until it is not. */
class Outage {
  readonly time = new VirtualTime();
  readonly link = new MemoryLink(CLUSTER_ID);
  readonly gateway: Gateway;
  /** when each call was made */
  readonly callTimesMs: number[] = [];
  readonly events: string[] = [];
  readonly logged: string[] = [];
  isAway = true;
  retryDelayMs: number | undefined;

  constructor(options: Partial<GatewayOptions>, random: () => number = () => 0.5) {
    const { link, time } = this;
    link.before = () => {
      this.callTimesMs.push(time.nowMs);
      if (!this.isAway) return;
      throw this.retryDelayMs === undefined
        ? callFailed(status.UNAVAILABLE)
        : callFailed(status.UNAVAILABLE, { reason: 'DRAINING', retryDelayMs: this.retryDelayMs });
    };
    const log = (_fields: object, message: string) => this.logged.push(message);
    this.gateway = createGatewayIn(
      time.environment(random, () => link),
      {
        endpoint: 'nowhere:1',
        clusterId: CLUSTER_ID,
        verification: { keys: [link.notary.log.vkey] },
        logger: { ...silentLog, warn: log, error: log },
        ...options,
      },
    );
    this.gateway.on('away', () => this.events.push('away')).on('back', () => this.events.push('back'));
    cleanups.push(async () => {
      const closed = this.gateway.close({ timeoutMs: 0 });
      await time.advance(0);
      await closed;
    });
  }

  /** The numbers of all leaves that were anchored, in the order of the log. */
  get anchored(): number[] {
    return this.link.notary.leaves.flatMap((hex) => numbersOf(new Uint8Array(Buffer.from(hex, 'hex'))));
  }

  /** One leaf each second. No time passes while one is submitted: whoever waited for anything would wait for ever. */
  async submitEachSecond(from: number, to: number): Promise<void> {
    for (let n = from; n < to; n++) {
      await this.gateway.submit(leafOf(n));
      await this.time.advance(SECOND_MS);
    }
  }

  async comeBack(withinMs = MAX_DELAY_MS): Promise<void> {
    this.isAway = false;
    await this.time.advanceUntil(() => this.events.at(-1) === 'back', withinMs);
  }
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0)) await clean();
});

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** What a backoff that doubles makes of a time, reckoned apart from the code. */
function triesWithin(timeMs: number, chance: number): number {
  let tries = 0;
  for (let atMs = 500, most = 250; atMs <= timeMs; most *= 2) {
    tries++;
    atMs += chance * Math.min(MAX_DELAY_MS, most);
  }
  return tries;
}

describe('a notary that is away for a day', () => {
  // Red when the wait is always the first one (`2 ** 0`).
  test('costs a gateway with a leaf each second a call a minute, and then the leaves go in order in full batches', async () => {
    const outage = new Outage({});
    const leaves = DAY_MS / SECOND_MS;
    await outage.submitEachSecond(0, leaves);
    expect(outage.callTimesMs).toHaveLength(triesWithin(DAY_MS, 0.5));
    expect(outage.callTimesMs.length).toBeLessThan(1_500);
    expect(await outage.gateway.stats()).toMatchObject({
      queuedLeaves: leaves,
      oldestAgeMs: DAY_MS,
      inFlightBatches: 1,
    });
    expect(outage.events).toEqual(['away']);

    outage.link.calls.length = 0;
    await outage.comeBack();
    await outage.time.advanceUntil(() => outage.link.notary.leaves.length === leaves, SECOND_MS);
    const sizes = outage.link.calls.map(({ packedLeaves }) => packedLeaves.length / 32);
    // The first was sealed when the notary was found to be away, with what there was.
    expect(sizes).toEqual([1, ...Array<number>(8).fill(10_000), leaves - 80_001]);
    expect(outage.anchored).toEqual(numbers(0, leaves));
    expect(outage.events).toEqual(['away', 'back']);
    // One line in 24 hours, and it is not an error.
    expect(outage.logged).toHaveLength(1);
  }, 120_000);

  test('that says nothing costs a call for each deadline and wait, and never two at once', async () => {
    const outage = new Outage({ batch: { inFlight: 8, maxLeaves: 10 } });
    let [calls, callsNow, mostAtOnce] = [0, 0, 0];
    outage.link.before = async (_call, { timeoutMs }) => {
      if (!outage.isAway) return;
      calls++;
      callsNow++;
      mostAtOnce = Math.max(mostAtOnce, callsNow);
      await new Promise<void>((resolve) => outage.time.after(timeoutMs, resolve));
      callsNow--;
      throw callFailed(status.DEADLINE_EXCEEDED);
    };
    await outage.gateway.submit(leafOf(0));
    await outage.time.advance(90 * SECOND_MS);
    await outage.submitEachSecond(1, HOUR_MS / SECOND_MS);
    expect(mostAtOnce).toBe(1);
    expect(calls).toBeLessThan(HOUR_MS / (60 * SECOND_MS));
    expect(calls).toBeGreaterThan(HOUR_MS / (60 * SECOND_MS + MAX_DELAY_MS));
    expect(outage.events).toEqual(['away']);

    await outage.comeBack(60 * SECOND_MS + MAX_DELAY_MS);
    await outage.time.advanceUntil(
      () => outage.link.notary.leaves.length === HOUR_MS / SECOND_MS,
      10 * SECOND_MS,
    );
    expect(outage.anchored.toSorted((a, b) => a - b)).toEqual(numbers(0, HOUR_MS / SECOND_MS));
  });

  // Red when the memory outbox counts only what is not sealed.
  test('fills an outbox to its limit and no further, and rejects the rest at once', async () => {
    const outage = new Outage({ outbox: memoryOutbox({ maxLeaves: 1_000 }) });
    await outage.submitEachSecond(0, 1_000);
    for (let n = 1_000; n < 5_000; n++) {
      await expect(outage.gateway.submit(leafOf(n))).rejects.toMatchObject({ code: 'OUTBOX_FULL' });
      await outage.time.advance(SECOND_MS);
    }
    expect(await outage.gateway.stats()).toMatchObject({ queuedLeaves: 1_000, rejectedLeaves: 4_000 });

    await outage.comeBack();
    await outage.time.advanceUntil(() => outage.link.notary.leaves.length === 1_000, SECOND_MS);
    await outage.submitEachSecond(5_000, 5_010);
    expect(outage.anchored).toEqual([...numbers(0, 1_000), ...numbers(5_000, 5_010)]);
  });

  // Red when `Room` lets the newest of those who wait in first.
  test('holds callers while the outbox is full, where that is asked for, and lets them in in their order', async () => {
    const outage = new Outage({ outbox: memoryOutbox({ maxLeaves: 100 }), whenFull: 'block' });
    await outage.submitEachSecond(0, 100);
    const resolved: number[] = [];
    const submits = numbers(100, 350).map(async (n) => {
      await outage.gateway.submit(leafOf(n));
      resolved.push(n);
    });
    await outage.time.advance(10 * HOUR_MS);
    expect(resolved).toEqual([]);
    expect(await outage.gateway.stats()).toMatchObject({ queuedLeaves: 100, blockedSubmits: 250 });

    await outage.comeBack();
    await outage.time.advanceUntil(() => outage.link.notary.leaves.length === 350, 10 * SECOND_MS);
    await Promise.all(submits);
    expect(resolved).toEqual(numbers(100, 350));
    expect(outage.anchored).toEqual(numbers(0, 350));
  });
});

describe('a notary that asks to be left alone', () => {
  // Red when `Pace.failed` leaves out what was asked.
  test('is, for at least as long', async () => {
    const outage = new Outage({}, () => 0);
    outage.retryDelayMs = 45 * SECOND_MS;
    await outage.gateway.submit(leafOf(0));
    await outage.time.advance(HOUR_MS);
    const gaps = outage.callTimesMs.slice(1).map((atMs, i) => atMs - outage.callTimesMs[i]!);
    expect(gaps).toHaveLength(HOUR_MS / (45 * SECOND_MS) - 1);
    expect(gaps.every((gap) => gap >= 45 * SECOND_MS)).toBe(true);
  });
});
