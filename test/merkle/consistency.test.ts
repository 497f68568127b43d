import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type ConsistencyProof,
  consistencyPath,
  consistencySubtrees,
  EMPTY_ROOT,
  portableHasher as hasher,
  MerkleError,
  type MerkleErrorCode,
  verifyConsistency,
} from '../../src/merkle/index.ts';
import { flippedBits, flippedPaths, misshapenPaths } from './damage.ts';
import { entriesOf, MTH, naiveSubtree, PROOF } from './naive-tree.ts';

const entries = entriesOf(600);
const rootOf = (size: number) => MTH(entries.slice(0, size));

function proofOf(firstSize: number, secondSize: number): ConsistencyProof {
  return {
    firstSize,
    secondSize,
    firstRoot: rootOf(firstSize),
    secondRoot: rootOf(secondSize),
    path: firstSize === 0 ? [] : PROOF(firstSize, entries.slice(0, secondSize)),
  };
}

const refusal = (proof: ConsistencyProof): MerkleErrorCode | undefined => {
  try {
    verifyConsistency(hasher, proof);
    return undefined;
  } catch (error) {
    if (error instanceof MerkleError) return error.code;
    throw error;
  }
};

const twoSizes = (max: number) =>
  fc
    .tuple(fc.integer({ min: 0, max }), fc.integer({ min: 0, max }))
    .map(([a, b]) => ({ first: Math.min(a, b), second: Math.max(a, b) }));

describe('consistency paths', () => {
  test('paths and their verification are those of RFC 6962 between all sizes up to 40', () => {
    for (let second = 0; second <= 40; second++) {
      const subtree = naiveSubtree(entries.slice(0, second));
      for (let first = 0; first <= second; first++) {
        const proof = proofOf(first, second);
        expect(consistencyPath(hasher, first, second, subtree)).toEqual(proof.path);
        expect(refusal(proof)).toBeUndefined();
      }
    }
  });

  test('paths and their verification are those of RFC 6962 between random larger sizes', () => {
    fc.assert(
      fc.property(twoSizes(600), ({ first, second }) => {
        const proof = proofOf(first, second);
        const subtree = naiveSubtree(entries.slice(0, second));
        expect(consistencyPath(hasher, first, second, subtree)).toEqual(proof.path);
        expect(refusal(proof)).toBeUndefined();
      }),
    );
  });

  test('exactly the announced subtrees are read, each once, and all of them exist at the second size', () => {
    fc.assert(
      fc.property(twoSizes(100_000), ({ first, second }) => {
        const read: { level: number; index: number }[] = [];
        consistencyPath(hasher, first, second, (level, index) => {
          read.push({ level, index });
          return new Uint8Array(32);
        });
        expect(read).toEqual(consistencySubtrees(first, second));
        expect(new Set(read.map((id) => `${id.level}/${id.index}`)).size).toBe(read.length);
        for (const { level, index } of read) expect((index + 1) * 2 ** level).toBeLessThanOrEqual(second);
      }),
    );
  });
});

// Seen red: without the comparison of the first root, without that of the second, without the check for hashes after
// the root, without the check for missing hashes, with a path let through between equal sizes, with any root let
// through for size 0.
describe('damaged consistency proofs', () => {
  const shapes: [number, number][] = [
    ...[
      [1, 2],
      [1, 5],
      [2, 3],
      [3, 4],
      [3, 7],
      [4, 8],
      [6, 8],
      [7, 13],
      [8, 13],
      [12, 13],
    ],
  ] as [number, number][];

  test.each(shapes)('every flipped bit in the proof from %i to %i is refused', (first, second) => {
    const proof = proofOf(first, second);
    const damaged = [
      ...[...flippedPaths(proof.path)].map((path) => ({ ...proof, path })),
      ...[...flippedBits(proof.firstRoot)].map((firstRoot) => ({ ...proof, firstRoot })),
      ...[...flippedBits(proof.secondRoot)].map((secondRoot) => ({ ...proof, secondRoot })),
    ];
    expect(damaged).toHaveLength(256 * (proof.path.length + 2));
    for (const each of damaged) expect(refusal(each)).toBe('ROOT_MISMATCH');
  });

  test.each(shapes)(
    'a hash too many, too few or of another length from %i to %i is refused',
    (first, second) => {
      const proof = proofOf(first, second);
      const extra = [proof.firstRoot, proof.secondRoot, new Uint8Array(32), new Uint8Array(), ...proof.path];
      for (const path of misshapenPaths(proof.path, extra)) {
        const code = refusal({ ...proof, path });
        if (path.every((hash) => hash.length === 32)) expect(code).toBe('WRONG_PATH_LENGTH');
        else expect(['BAD_HASH', 'WRONG_PATH_LENGTH']).toContain(code);
      }
      expect(refusal({ ...proof, path: [] })).toBe('WRONG_PATH_LENGTH');
    },
  );

  test.each(shapes)('swapped roots from %i to %i are refused', (first, second) => {
    const { firstRoot, secondRoot, ...rest } = proofOf(first, second);
    expect(refusal({ ...rest, firstRoot: secondRoot, secondRoot: firstRoot })).toBe('ROOT_MISMATCH');
  });

  test('other sizes are refused unless they mean the very same computation', () => {
    const route = (m: number, n: number, b: boolean): string => {
      if (m === n) return b ? 'known' : 'given';
      let k = 1;
      while (k * 2 < n) k *= 2;
      return m <= k ? `${route(m, k, b)} R` : `${route(m - k, n - k, false)} L`;
    };
    for (const [first, second] of shapes) {
      const proof = proofOf(first, second);
      for (let secondSize = 1; secondSize <= 30; secondSize++) {
        for (let firstSize = 1; firstSize < secondSize; firstSize++) {
          const accepted = refusal({ ...proof, firstSize, secondSize }) === undefined;
          expect(accepted).toBe(route(firstSize, secondSize, true) === route(first, second, true));
        }
      }
    }
  });

  test('a rewritten history has no path', () => {
    const forged = entries.with(2, entries[3]!);
    for (const [first, second] of shapes.filter(([size]) => size > 2)) {
      const path = PROOF(first, forged.slice(0, second));
      const secondRoot = MTH(forged.slice(0, second));
      expect(refusal({ ...proofOf(first, second), path, secondRoot })).toBe('ROOT_MISMATCH');
    }
  });

  test('between equal sizes the path is empty and the roots are equal', () => {
    const proof = proofOf(6, 6);
    expect(refusal({ ...proof, path: [proof.firstRoot] })).toBe('WRONG_PATH_LENGTH');
    expect(refusal({ ...proof, secondRoot: rootOf(7) })).toBe('ROOT_MISMATCH');
    expect(refusal({ ...proofOf(0, 0), secondRoot: rootOf(1) })).toBe('ROOT_MISMATCH');
  });

  test('from size 0 the path is empty and the first root is that of the empty tree', () => {
    const proof = proofOf(0, 6);
    expect(proof.firstRoot).toEqual(EMPTY_ROOT);
    expect(refusal({ ...proof, path: [proof.secondRoot] })).toBe('WRONG_PATH_LENGTH');
    expect(refusal({ ...proof, firstRoot: rootOf(1) })).toBe('ROOT_MISMATCH');
    expect(refusal({ ...proofOf(0, 0), firstRoot: rootOf(1), secondRoot: rootOf(1) })).toBe('ROOT_MISMATCH');
  });

  test('the refusal of a hash of another length names its place in the path', () => {
    for (const [first, second] of shapes) {
      const proof = proofOf(first, second);
      for (const [i] of proof.path.entries()) {
        const path = proof.path.with(i, new Uint8Array(31));
        expect(() => verifyConsistency(hasher, { ...proof, path })).toThrow(`path[${i}] must be 32 bytes`);
      }
    }
  });

  test('a root that is not 32 bytes is refused', () => {
    for (const proof of [proofOf(0, 0), proofOf(0, 3), proofOf(3, 3), proofOf(2, 5)]) {
      expect(refusal({ ...proof, firstRoot: new Uint8Array(31) })).toBe('BAD_HASH');
      expect(refusal({ ...proof, secondRoot: new Uint8Array(33) })).toBe('BAD_HASH');
    }
  });

  test.each([
    [4, 3],
    [-1, 3],
    [1.5, 3],
    [1, 2 ** 53],
    [Number.NaN, 3],
  ])('%p to %p are no sizes to compare', (firstSize, secondSize) => {
    expect(refusal({ ...proofOf(3, 5), firstSize, secondSize })).toBe('SIZE_OUT_OF_RANGE');
    expect(() => consistencySubtrees(firstSize, secondSize)).toThrow(
      expect.objectContaining({ code: 'SIZE_OUT_OF_RANGE' }),
    );
  });
});
