import { describe, expect, test } from '@jest/globals';
import { SharedRun } from '../../src/notary/shared-run.ts';

describe('a shared run', () => {
  test('gives each caller a run that began after its question, and shares the next one', async () => {
    let begun = 0;
    const gates: PromiseWithResolvers<void>[] = [];
    const shared = new SharedRun(() => {
      begun++;
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      return gate.promise;
    });
    const first = shared.next();
    const [second, third] = [shared.next(), shared.next()];
    expect(begun).toBe(1);
    gates[0]!.resolve();
    await first;
    await new Promise(setImmediate);
    expect(begun).toBe(2);
    gates[1]!.resolve();
    await Promise.all([second, third]);
    expect(begun).toBe(2);
  });

  // Seen red when next() looked at the current run first: at the seam between two runs it began a third beside the second.
  test('never has two runs at once, whenever callers come', async () => {
    let running = 0;
    let most = 0;
    let begun = 0;
    const shared = new SharedRun(async () => {
      begun++;
      most = Math.max(most, ++running);
      for (let microtask = 0; microtask < 10; microtask++) await Promise.resolve();
      running--;
    });
    const asked: Promise<void>[] = [];
    // At every microtask, so also at those between the end of one run and the beginning of the next.
    for (let microtask = 0; microtask < 400; microtask++) {
      asked.push(shared.next());
      await Promise.resolve();
    }
    await Promise.all(asked);
    expect(most).toBe(1);
    expect(begun).toBeLessThan(100);
  });

  test('passes a failure on to those who shared it, and to nobody else', async () => {
    let begun = 0;
    const shared = new SharedRun(async () => {
      if (++begun === 1) throw new Error('the first one fails');
    });
    const first = shared.next();
    const second = shared.next();
    await expect(first).rejects.toThrow('the first one fails');
    await second;
    await shared.next();
    expect(begun).toBe(3);
  });
});
