import { describe, expect, test } from '@jest/globals';
import { BatchPaths } from '../../src/gateway/batch-paths.ts';
import { fastHasher } from '../../src/merkle/fast.ts';
import { hashBatch, verifyInclusion } from '../../src/merkle/index.ts';
import { leavesOf } from '../verify/test-log.ts';

describe('paths from the leaves of a batch', () => {
  // 256 and its neighbours, and more than one tile of tiles' hashes, are where rows are cut.
  test.each([1, 2, 3, 255, 256, 257, 511, 512, 513, 1_000, 65_536, 66_000])(
    'of %i leaves lead to its root',
    (count) => {
      const leaves = leavesOf(count);
      const packed = new Uint8Array(Buffer.concat(leaves));
      const { root } = hashBatch(fastHasher, packed);
      const paths = new BatchPaths(fastHasher, packed);
      const some = [0, 1, 254, 255, 256, 257, Math.floor(count / 2), count - 2, count - 1];
      for (const index of new Set(some.filter((i) => i >= 0 && i < count))) {
        const leafHash = fastHasher.leafHash(leaves[index]!);
        verifyInclusion(fastHasher, { leafHash, index, size: count, path: paths.pathOf(index), root });
      }
      expect(paths.pathOf(0).length).toBe(Math.ceil(Math.log2(count)));
    },
  );
});
