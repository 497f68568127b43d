import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  CompactRange,
  consistencyPath,
  portableHasher as hasher,
  inclusionPath,
  rootFrom,
  rootSubtrees,
  type SubtreeHash,
  Tiles,
  tilesOf,
  verifyConsistency,
  verifyInclusion,
} from '../../src/merkle/index.ts';
import { naiveLeafHash, naiveNodeHash } from './naive-tree.ts';

const MAX = Number.MAX_SAFE_INTEGER;
const blank = naiveLeafHash(new Uint8Array());
const leafHashOf = (index: number) => naiveLeafHash(new TextEncoder().encode(`${index}`));

/** Hashes of complete subtrees of blank leaves, by level. */
const blanks: Uint8Array[] = [blank];
for (let level = 1; level <= 53; level++) blanks.push(naiveNodeHash(blanks[level - 1]!, blanks[level - 1]!));

/**
 * A tree too large to exist: every leaf is blank but the marked ones, which are their own number. Coordinates are
 * computed in BigInt, so that a rounding in the code under test reads another subtree.
 */
function sparseTree(marked: readonly number[]): SubtreeHash {
  const hashOf = (level: number, index: bigint, inside: readonly bigint[]): Uint8Array => {
    if (inside.length === 0) return blanks[level]!;
    if (level === 0) return leafHashOf(Number(index));
    const child = (i: bigint) =>
      hashOf(
        level - 1,
        i,
        inside.filter((mark) => mark >> BigInt(level - 1) === i),
      );
    return naiveNodeHash(child(2n * index), child(2n * index + 1n));
  };
  const marks = marked.map(BigInt);
  return (level, index) => {
    const at = BigInt(index);
    return hashOf(
      level,
      at,
      marks.filter((mark) => mark >> BigInt(level) === at),
    );
  };
}

/** Sizes near 2^53 - 1 and near powers of two, where rounding and 32-bit operators would show. */
const hugeSize = fc.oneof(
  fc.integer({ min: MAX - 1_000, max: MAX }),
  fc.maxSafeNat().map((n) => Math.max(2, n)),
  fc.tuple(fc.integer({ min: 31, max: 52 }), fc.integer({ min: -2, max: 2 })).map(([k, d]) => 2 ** k + d),
);

// Seen red: with `>>> 1` in place of the division by two in each verifier, and where a size is split.
describe('trees of up to 2^53 - 1 leaves', () => {
  test('inclusion paths lead to the root for leaves at both ends, in the middle and anywhere', () => {
    fc.assert(
      fc.property(hugeSize, fc.maxSafeNat(), (size, seed) => {
        const marked = [...new Set([0, 1, seed % size, Math.floor(size / 2), size - 2, size - 1])];
        const subtree = sparseTree(marked);
        const root = rootFrom(hasher, size, subtree);
        for (const index of marked) {
          const path = inclusionPath(hasher, index, size, subtree);
          const proof = { leafHash: leafHashOf(index), index, size, path, root };
          verifyInclusion(hasher, proof);
          const neighbour = index === 0 ? 1 : index - 1;
          expect(() => verifyInclusion(hasher, { ...proof, index: neighbour })).toThrow();
          expect(() => verifyInclusion(hasher, { ...proof, path: path.slice(1) })).toThrow();
          expect(() => verifyInclusion(hasher, { ...proof, path: [...path, root] })).toThrow();
        }
      }),
    );
  });

  test('consistency paths verify from any size to any other', () => {
    fc.assert(
      fc.property(hugeSize, hugeSize, fc.maxSafeNat(), (a, b, seed) => {
        const [first, second] = a < b ? [a, b] : [b, a];
        const subtree = sparseTree([0, seed % first, first - 1, second - 1]);
        const proof = {
          firstSize: first,
          secondSize: second,
          firstRoot: rootFrom(hasher, first, subtree),
          secondRoot: rootFrom(hasher, second, subtree),
          path: consistencyPath(hasher, first, second, subtree),
        };
        verifyConsistency(hasher, proof);
        const rewritten = rootFrom(hasher, second, sparseTree([1, second - 1]));
        expect(() => verifyConsistency(hasher, { ...proof, secondRoot: rewritten })).toThrow();
      }),
    );
  });

  test('a compact range appends there as the whole tree grows', () => {
    fc.assert(
      fc.property(fc.integer({ min: MAX - 1_000, max: MAX - 3 }), (size) => {
        const subtree = sparseTree([0, size, size + 1, size + 2]);
        const range = CompactRange.from(hasher, size, subtree);
        for (const index of [size, size + 1, size + 2]) {
          range.append(leafHashOf(index), (level, at, hash) => expect(hash).toEqual(subtree(level, at)));
          expect(range.root()).toEqual(rootFrom(hasher, index + 1, subtree));
        }
      }),
      { numRuns: 30 },
    );
  });

  test('tiles give the root there', () => {
    const subtree = sparseTree([0, MAX - 1]);
    const tiles = new Tiles(hasher);
    for (const { level, index } of tilesOf(rootSubtrees(MAX))) {
      const count = Math.min(256, Math.floor(MAX / 256 ** level) - index * 256);
      const row = Array.from({ length: count }, (_, i) => subtree(level * 8, index * 256 + i));
      tiles.put(level, index, new Uint8Array(Buffer.concat(row)));
    }
    expect(rootSubtrees(MAX)).toHaveLength(53);
    expect(rootFrom(hasher, MAX, tiles.subtree)).toEqual(rootFrom(hasher, MAX, subtree));
  });
});
