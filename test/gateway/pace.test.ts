import { describe, expect, test } from '@jest/globals';
import { type Environment, realEnvironment } from '../../src/gateway/environment.ts';
import { Pace } from '../../src/gateway/pace.ts';

/** Timers that run when the test says so. */
function stepped(random: number) {
  const delays: number[] = [];
  let run: () => void = () => {};
  const environment: Environment = {
    ...realEnvironment,
    random: () => random,
    after(delayMs, callback) {
      delays.push(delayMs);
      run = callback;
      return () => {};
    },
  };
  return { environment, delays, pass: () => run() };
}

const never = new AbortController().signal;

async function isPending(promise: Promise<void>): Promise<boolean> {
  let pending = true;
  void promise.then(() => {
    pending = false;
  });
  await new Promise(setImmediate);
  return pending;
}

describe('the pace of tries', () => {
  test('doubles up to its most, with jitter over the whole of it', async () => {
    for (const random of [0, 0.5, 0.999]) {
      const { environment, delays, pass } = stepped(random);
      const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
      for (let i = 0; i < 6; i++) {
        await pace.turn(never);
        pace.failed(undefined);
        pass();
      }
      expect(delays).toEqual([100, 200, 400, 800, 1_000, 1_000].map((most) => most * random));
    }
  });

  test('never comes before the notary asks for it, and not with all others at that moment', async () => {
    const { environment, delays } = stepped(0.5);
    const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
    await pace.turn(never);
    pace.failed(5_000);
    expect(delays).toEqual([7_500]);
  });

  // Red when it is taken as it is: setTimeout runs at once what is due in more than 2^31 ms.
  test('asked for a year, comes back within two hours', async () => {
    const { environment, delays } = stepped(0.999);
    const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
    await pace.turn(never);
    pace.failed(365 * 24 * 3_600_000);
    expect(delays).toEqual([3_600_000 * 1.999]);
  });

  // Red when a turn is given to everybody who waits.
  test('sends one ahead while the notary is away; its success lets all others go', async () => {
    const { environment, pass } = stepped(0.5);
    const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
    await pace.turn(never);
    pace.failed(undefined);
    const turns = [pace.turn(never), pace.turn(never), pace.turn(never)];
    expect(await Promise.all(turns.map(isPending))).toEqual([true, true, true]);
    pass();
    expect(await Promise.all(turns.map(isPending))).toEqual([false, true, true]);
    pace.succeeded();
    expect(await Promise.all(turns.map(isPending))).toEqual([false, false, false]);
  });

  // Red when each of several calls that failed together doubles the wait.
  test('counts calls that one outage has ended as one failure', async () => {
    const { environment, delays, pass } = stepped(1);
    const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
    for (let i = 0; i < 8; i++) await pace.turn(never);
    for (let i = 0; i < 8; i++) pace.failed(undefined);
    pass();
    await pace.turn(never);
    pace.failed(undefined);
    expect(delays).toEqual([100, 200]);
  });

  // Red when the first failure of several has the last word: another call may have been asked to wait for a minute.
  test('of several calls that failed together keeps the longest wait that was asked for', async () => {
    const { environment, delays, pass } = stepped(0.5);
    const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
    for (let i = 0; i < 4; i++) await pace.turn(never);
    pace.failed(undefined);
    pace.failed(60_000);
    pace.failed(30_000);
    pace.failed(undefined);
    expect(delays).toEqual([50, 90_000]);
    pass();
    await pace.turn(never);
    pace.failed(undefined);
    expect(delays.at(-1)).toBe(100);
  });

  test('whoever gives up does not hold the others back', async () => {
    const { environment, pass } = stepped(0.5);
    const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
    await pace.turn(never);
    pace.failed(undefined);
    pass();
    const giving = new AbortController();
    await pace.turn(giving.signal);
    const next = pace.turn(never);
    expect(await isPending(next)).toBe(true);
    pace.abandoned();
    expect(await isPending(next)).toBe(false);
  });

  test('a wait ends when its caller does', async () => {
    const { environment } = stepped(0.5);
    const pace = new Pace(environment, { minDelayMs: 100, maxDelayMs: 1_000 });
    await pace.turn(never);
    pace.failed(undefined);
    const ending = new AbortController();
    const turn = pace.turn(ending.signal);
    expect(await isPending(turn)).toBe(true);
    ending.abort();
    expect(await isPending(turn)).toBe(false);
  });
});
