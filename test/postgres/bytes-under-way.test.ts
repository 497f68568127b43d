import { describe, expect, test } from '@jest/globals';
import { BytesUnderWay } from '../../src/postgres/bytes-under-way.ts';

const NEVER = new AbortController().signal;

/** Work that ends when it is told to. */
function startAll(underWay: BytesUnderWay, sizes: readonly number[]) {
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const results = sizes.map((bytes, i) =>
    underWay.hold(bytes, NEVER, async () => {
      started.push(i);
      await new Promise<void>((resolve) => {
        ends[i] = resolve;
      });
      return i;
    }),
  );
  const end = async (i: number) => {
    ends[i]!();
    await results[i];
    await new Promise(setImmediate);
  };
  return { started, end, results };
}

// Seen red with #fits answering true, and with nothing given back.
test('big statements go in the order in which they came, as many at once as fit, and the largest alone', async () => {
  const { started, end, results } = startAll(new BytesUnderWay(100, 60_000), [60, 40, 10, 500, 1]);
  await new Promise(setImmediate);
  expect(started).toEqual([0, 1]);
  await end(1);
  expect(started).toEqual([0, 1, 2]);
  await end(0);
  expect(started).toEqual([0, 1, 2]);
  await end(2);
  expect(started).toEqual([0, 1, 2, 3]);
  await end(3);
  await end(4);
  expect(await Promise.all(results)).toEqual([0, 1, 2, 3, 4]);
});

test('one that fails gives its room to the next', async () => {
  const underWay = new BytesUnderWay(1, 60_000);
  const failing = underWay.hold(1, NEVER, async () => Promise.reject(new Error('made to fail')));
  const next = underWay.hold(1, NEVER, async () => 'done');
  await expect(failing).rejects.toThrow('made to fail');
  expect(await next).toBe('done');
});

describe('one that waits', () => {
  /** Room for 100 bytes that are all taken, and two that wait. */
  function fullAndTwoWaiting(patienceMs: number) {
    const underWay = new BytesUnderWay(100, patienceMs);
    const { promise, resolve: endFirst } = Promise.withResolvers<void>();
    const first = underWay.hold(60, NEVER, () => promise);
    const gone = new AbortController();
    const ran: string[] = [];
    const big = underWay.hold(80, gone.signal, async () => ran.push('big'));
    const small = underWay.hold(40, NEVER, async () => ran.push('small'));
    return { first, endFirst, gone, ran, big, small };
  }

  // Seen red with the signal not listened to: the batch of a caller long gone was stored, for nobody.
  test('for a caller who goes away does not run, and those behind it do', async () => {
    const { first, endFirst, gone, ran, big, small } = fullAndTwoWaiting(60_000);
    const reason = new Error('gone');
    gone.abort(reason);
    await expect(big).rejects.toBe(reason);
    await small;
    endFirst();
    await first;
    expect(ran).toEqual(['small']);
  });

  // Seen red without the timer: it waits for as long as the first takes.
  test('is told UNAVAILABLE when its time is over', async () => {
    const { first, endFirst, ran, big, small } = fullAndTwoWaiting(5);
    await expect(big).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await small;
    endFirst();
    await first;
    expect(ran).toEqual(['small']);
  });
});
