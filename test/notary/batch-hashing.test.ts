import { expect, test } from '@jest/globals';
import { hashBatch, portableHasher, type TreeHasher } from '../../src/merkle/index.ts';
import { hashBatchPolitely } from '../../src/notary/batch-hashing.ts';

const LEAVES = new Uint8Array(16_384 * 32).fill(7);

test('gives the tree of the batch, and serves others meanwhile', async () => {
  let turns = 0;
  let isDone = false;
  const others = (): void => {
    turns++;
    if (!isDone) setImmediate(others);
  };
  setImmediate(others);
  const tree = await hashBatchPolitely(portableHasher, LEAVES, new AbortController().signal);
  isDone = true;
  expect(tree).toEqual(hashBatch(portableHasher, LEAVES));
  expect(turns).toBeGreaterThan(10);
});

// Seen red when the signal was looked at only after the last slice.
test('stops hashing for a caller who has gone', async () => {
  const gone = new AbortController();
  let hashed = 0;
  const hasher: TreeHasher = {
    ...portableHasher,
    subtreeHashOfEntries(packed) {
      hashed += packed.length / 32;
      gone.abort();
      return portableHasher.subtreeHashOfEntries(packed);
    },
  };
  await expect(hashBatchPolitely(hasher, LEAVES, gone.signal)).rejects.toMatchObject({ code: 'CANCELLED' });
  expect(hashed).toBeGreaterThan(0);
  expect(hashed).toBeLessThanOrEqual(1024);
});
