import { expect, test } from '@jest/globals';
import { BytesUnderWay } from '../../src/postgres/bytes-under-way.ts';

/** Work that ends when it is told to. */
function startAll(underWay: BytesUnderWay, sizes: readonly number[]) {
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const results = sizes.map((bytes, i) =>
    underWay.hold(bytes, async () => {
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
  const { started, end, results } = startAll(new BytesUnderWay(100), [60, 40, 10, 500, 1]);
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
  const underWay = new BytesUnderWay(1);
  const failing = underWay.hold(1, async () => Promise.reject(new Error('made to fail')));
  const next = underWay.hold(1, async () => 'done');
  await expect(failing).rejects.toThrow('made to fail');
  expect(await next).toBe('done');
});
