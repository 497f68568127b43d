import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { keepInFlight, type LoadEvents } from '../../src/cli/load/keep-in-flight.ts';

const PACING = { inFlight: 3, warmUpMs: 0, measureMs: 300 };
const NEVER_FAILS: LoadEvents = {
  onFailure(error) {
    throw error;
  },
};

test('has as many calls in flight as it was told, at every moment, and ends with none', async () => {
  let inFlight = 0;
  const seen = new Set<number>();
  const measured = await keepInFlight(
    PACING,
    async () => {
      inFlight++;
      seen.add(inFlight);
      await sleep(5);
      inFlight--;
    },
    NEVER_FAILS,
  );
  expect(inFlight).toBe(0);
  expect(Math.max(...seen)).toBe(3);
  expect(measured.calls).toBeGreaterThan(3);
  expect(measured.p50Ms).toBeGreaterThanOrEqual(4);
  expect(measured.longestMs).toBeGreaterThanOrEqual(measured.p999Ms);
});

// Seen red when a caller that failed called again at once.
test('counts what failed and may be tried again by its status, apart from what was answered', async () => {
  const measured = await keepInFlight(
    PACING,
    async (caller) => {
      await sleep(1);
      if (caller === 0) throw new Error('later');
    },
    { onFailure: () => ({ status: 'UNAVAILABLE', retryAfterMs: 0 }) },
  );
  // Every tenth of a second, since a caller that failed pauses.
  expect(measured.failures.UNAVAILABLE).toBeGreaterThanOrEqual(2);
  expect(measured.failures.UNAVAILABLE).toBeLessThanOrEqual(4);
  expect(measured.allCalls).toBeGreaterThanOrEqual(measured.calls);
  expect(measured.longestMs).toBeLessThan(300);
});

test('what may not be tried again ends all callers, and none is left behind', async () => {
  let inFlight = 0;
  const load = keepInFlight(
    { ...PACING, measureMs: 60_000 },
    async (caller, turn) => {
      inFlight++;
      await sleep(2);
      inFlight--;
      if (caller === 1 && turn === 3) throw new Error('refused');
    },
    NEVER_FAILS,
  );
  await expect(load).rejects.toThrow('refused');
  expect(inFlight).toBe(0);
});
