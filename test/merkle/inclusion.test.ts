import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  portableHasher as hasher,
  inclusionPath,
  inclusionSubtrees,
  MerkleError,
  type MerkleErrorCode,
  rootFrom,
  rootFromInclusionPath,
  rootSubtrees,
  verifyInclusion,
} from '../../src/merkle/index.ts';
import { flippedBits, flippedPaths, misshapenPaths } from './damage.ts';
import { entriesOf, MTH, naiveLeafHash, naiveSubtree, PATH } from './naive-tree.ts';

const entries = entriesOf(600);

function proofOf(index: number, size: number) {
  const d = entries.slice(0, size);
  return { leafHash: naiveLeafHash(d[index]!), index, size, path: PATH(index, d), root: MTH(d) };
}

const refusal = (run: () => void): MerkleErrorCode | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof MerkleError) return error.code;
    throw error;
  }
};

const indexInTree = (max: number) =>
  fc
    .integer({ min: 1, max })
    .chain((size) => fc.record({ size: fc.constant(size), index: fc.integer({ min: 0, max: size - 1 }) }));

describe('roots and inclusion paths', () => {
  test('roots, paths and their verification are those of RFC 6962 for all trees of up to 40 leaves', () => {
    for (let size = 0; size <= 40; size++) {
      const subtree = naiveSubtree(entries.slice(0, size));
      expect(rootFrom(hasher, size, subtree)).toEqual(MTH(entries.slice(0, size)));
      for (let index = 0; index < size; index++) {
        const proof = proofOf(index, size);
        expect(inclusionPath(hasher, index, size, subtree)).toEqual(proof.path);
        expect(rootFromInclusionPath(hasher, proof)).toEqual(proof.root);
        verifyInclusion(hasher, proof);
      }
    }
  });

  test('roots, paths and their verification are those of RFC 6962 for random larger trees', () => {
    fc.assert(
      fc.property(indexInTree(600), ({ size, index }) => {
        const proof = proofOf(index, size);
        const subtree = naiveSubtree(entries.slice(0, size));
        expect(rootFrom(hasher, size, subtree)).toEqual(proof.root);
        expect(inclusionPath(hasher, index, size, subtree)).toEqual(proof.path);
        verifyInclusion(hasher, proof);
      }),
    );
  });

  test('exactly the announced subtrees are read, each once', () => {
    fc.assert(
      fc.property(indexInTree(100_000), ({ size, index }) => {
        const read: { level: number; index: number }[] = [];
        const subtree = (level: number, i: number) => {
          read.push({ level, index: i });
          return new Uint8Array(32);
        };
        rootFrom(hasher, size, subtree);
        expect(read.splice(0)).toEqual(rootSubtrees(size));
        inclusionPath(hasher, index, size, subtree);
        expect(read).toEqual(inclusionSubtrees(index, size));
        expect(new Set(read.map((id) => `${id.level}/${id.index}`)).size).toBe(read.length);
      }),
    );
  });

  test('a one-leaf tree has an empty path and its leaf hash as a fresh root', () => {
    const proof = proofOf(0, 1);
    const root = rootFromInclusionPath(hasher, proof);
    expect(root).toEqual(proof.leafHash);
    expect(root).not.toBe(proof.leafHash);
  });
});

// Seen red: without the check for hashes after the root, without the check for missing hashes, with only the first 31
// bytes of the roots compared, without the check of a path element's length, with index = size let through.
describe('damaged inclusion proofs', () => {
  const shapes = [1, 2, 3, 5, 7, 8, 13].flatMap((size) =>
    [0, size >> 1, size - 1].map((index) => [index, size] as const),
  );

  test.each(shapes)('every flipped bit in the proof of %i in %i is refused', (index, size) => {
    const proof = proofOf(index, size);
    const damaged = [
      ...[...flippedPaths(proof.path)].map((path) => ({ ...proof, path })),
      ...[...flippedBits(proof.leafHash)].map((leafHash) => ({ ...proof, leafHash })),
      ...[...flippedBits(proof.root)].map((root) => ({ ...proof, root })),
    ];
    expect(damaged).toHaveLength(256 * (proof.path.length + 2));
    for (const each of damaged) {
      expect(refusal(() => verifyInclusion(hasher, each))).toBe('ROOT_MISMATCH');
    }
  });

  test.each(shapes)(
    'a hash too many, too few or of another length in the proof of %i in %i is refused',
    (index, size) => {
      const proof = proofOf(index, size);
      const extra = [proof.root, proof.leafHash, new Uint8Array(32), new Uint8Array(), ...proof.path];
      for (const path of misshapenPaths(proof.path, extra)) {
        const code = refusal(() => verifyInclusion(hasher, { ...proof, path }));
        const wellFormed = path.every((hash) => hash.length === 32);
        if (wellFormed) expect(code).toBe('WRONG_PATH_LENGTH');
        else expect(['BAD_HASH', 'WRONG_PATH_LENGTH']).toContain(code);
      }
    },
  );

  test('the refusal of a hash of another length names its place in the path', () => {
    const proof = proofOf(2, 5);
    const path = proof.path.with(1, new Uint8Array(31));
    expect(() => verifyInclusion(hasher, { ...proof, path })).toThrow('path[1] must be 32 bytes, not 31');
  });

  test('a leaf hash or root that is not 32 bytes is refused', () => {
    const proof = proofOf(2, 5);
    for (const bad of [new Uint8Array(), proof.root.subarray(1), Uint8Array.of(...proof.root, 0)]) {
      expect(refusal(() => verifyInclusion(hasher, { ...proof, leafHash: bad }))).toBe('BAD_HASH');
      expect(refusal(() => verifyInclusion(hasher, { ...proof, root: bad }))).toBe('BAD_HASH');
    }
    const notBytes = '0'.repeat(32) as unknown as Uint8Array;
    expect(refusal(() => verifyInclusion(hasher, { ...proof, leafHash: notBytes }))).toBe('BAD_HASH');
  });

  test('every other index in the same tree is refused', () => {
    for (let size = 1; size <= 20; size++) {
      for (let index = 0; index < size; index++) {
        const proof = proofOf(index, size);
        for (let other = 0; other < size; other++) {
          if (other === index) continue;
          expect(refusal(() => verifyInclusion(hasher, { ...proof, index: other }))).toBeDefined();
        }
      }
    }
  });

  test('another index and size are refused unless they mean the very same computation', () => {
    const route = (m: number, n: number): string => {
      if (n === 1) return '';
      let k = 1;
      while (k * 2 < n) k *= 2;
      return m < k ? `${route(m, k)}R` : `${route(m - k, n - k)}L`;
    };
    for (let size = 1; size <= 13; size++) {
      for (let index = 0; index < size; index++) {
        const proof = proofOf(index, size);
        for (let otherSize = 1; otherSize <= 30; otherSize++) {
          for (let other = 0; other < otherSize; other++) {
            const code = refusal(() => verifyInclusion(hasher, { ...proof, index: other, size: otherSize }));
            expect(code === undefined).toBe(route(other, otherSize) === route(index, size));
          }
        }
      }
    }
  });

  test.each([5, 6, 2 ** 32 + 2, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    'index %p is not in a tree of 5',
    (index) => {
      const proof = { ...proofOf(2, 5), index };
      expect(refusal(() => verifyInclusion(hasher, proof))).toBe('INDEX_OUT_OF_RANGE');
      expect(refusal(() => inclusionSubtrees(index, 5))).toBe('INDEX_OUT_OF_RANGE');
    },
  );

  test.each([-1, 4.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('%p is no tree size', (size) => {
    const proof = { ...proofOf(0, 5), size };
    expect(refusal(() => verifyInclusion(hasher, proof))).toBe('SIZE_OUT_OF_RANGE');
    expect(refusal(() => inclusionSubtrees(0, size))).toBe('SIZE_OUT_OF_RANGE');
    expect(refusal(() => rootSubtrees(size))).toBe('SIZE_OUT_OF_RANGE');
  });

  test('nothing is in the empty tree', () => {
    expect(refusal(() => inclusionSubtrees(0, 0))).toBe('INDEX_OUT_OF_RANGE');
    const proof = { ...proofOf(0, 1), size: 0 };
    expect(refusal(() => verifyInclusion(hasher, proof))).toBe('INDEX_OUT_OF_RANGE');
  });

  test('a subtree that is not 32 bytes is refused before it gets into a path', () => {
    expect(refusal(() => void inclusionPath(hasher, 0, 2, () => new Uint8Array(31)))).toBe('BAD_HASH');
    expect(refusal(() => void rootFrom(hasher, 1, () => new Uint8Array(31)))).toBe('BAD_HASH');
  });
});
