import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { busiestSecond, histogram, reconnectsAfter } from './reconnects.ts';

const PAGE = join(import.meta.dirname, '../../docs/gateway-faults.md');
const GATEWAYS = 200;
const HOUR_MS = 3_600_000;
const FEW_PERCENT = 0.05;

const hourAway = { gateways: GATEWAYS, awayMs: HOUR_MS, seed: 'reconnects' };

// Red when waits have no jitter (`random()` taken for 1), and when only half of a wait is chance.
describe('200 gateways that lost their notary at one instant, and get it back', () => {
  test('after an hour come back spread over two minutes, as the page shows', async () => {
    const timesMs = await reconnectsAfter(hourAway);
    expect(timesMs).toHaveLength(GATEWAYS);
    expect(busiestSecond(timesMs)).toBeLessThanOrEqual(GATEWAYS * FEW_PERCENT);
    expect(timesMs.at(-1)).toBeLessThanOrEqual(120_000);
    expect(readFileSync(PAGE, 'utf8')).toContain(histogram(timesMs, 5));
  });

  test.each([5_000, 60_000])(
    'after an hour in which it asked all of them to wait for %i ms, come back as spread',
    async (retryDelayMs) => {
      const timesMs = await reconnectsAfter({ ...hourAway, retryDelayMs });
      expect(busiestSecond(timesMs)).toBeLessThanOrEqual(GATEWAYS * FEW_PERCENT);
    },
  );

  // Red when the jitter of the first failure is that of the backoff alone, however long the notary asks to wait: then all of them
  // come within a quarter of a second.
  test('are not sent back as one crowd by one request to wait', async () => {
    const timesMs = await reconnectsAfter({ ...hourAway, awayMs: 10_000, retryDelayMs: 60_000 });
    expect(timesMs[0]).toBeGreaterThanOrEqual(50_000);
    expect(busiestSecond(timesMs)).toBeLessThanOrEqual(GATEWAYS * FEW_PERCENT);
  });
});
