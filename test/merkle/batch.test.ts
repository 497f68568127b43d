import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fastHasher } from '../../src/merkle/fast.ts';
import {
  type BatchTree,
  batchNodeOffset,
  CompactRange,
  EMPTY_ROOT,
  hashBatch,
  hashBatchInSlices,
  inclusionPath,
  inclusionSubtrees,
  portableHasher,
  Tiles,
  tilesOf,
  verifyInclusion,
} from '../../src/merkle/index.ts';
import { MTH, naiveSubtree } from './naive-tree.ts';

const randomLeaves = (count: number) => new Uint8Array(randomBytes(count * 32));
const leafAt = (packed: Uint8Array, i: number) => packed.subarray(i * 32, (i + 1) * 32);
const split = (packed: Uint8Array) => Array.from({ length: packed.length / 32 }, (_, i) => leafAt(packed, i));

function inSlices(packed: Uint8Array, sliceLeaves?: number): { tree: BatchTree; yields: number } {
  const slices = hashBatchInSlices(fastHasher, packed, sliceLeaves);
  for (let yields = 0; ; yields++) {
    const step = slices.next();
    if (step.done) return { tree: step.value, yields };
  }
}

/** The tiles of one leaf's path, read as a server reads them: its leaves, and the stored nodes. */
function tilesFor(packed: Uint8Array, { leafCount, nodes }: BatchTree, index: number): Tiles {
  const tiles = new Tiles(fastHasher);
  for (const tile of tilesOf(inclusionSubtrees(index, leafCount))) {
    const first = tile.index * 256;
    const count = Math.min(256, Math.floor(leafCount / 256 ** tile.level) - first);
    const row =
      tile.level === 0
        ? fastHasher.leafHashes(packed.subarray(first * 32, (first + count) * 32))
        : nodes.subarray(batchNodeOffset(leafCount, tile.level, first) * 32).subarray(0, count * 32);
    tiles.put(tile.level, tile.index, row);
  }
  return tiles;
}

// Seen red: with a tile's hash stored one place to the right, with the unfilled tile of level 1 left out of the root,
// with level 2 never filled, with a slice that forgets its last tile.
describe('the tree of a batch', () => {
  test('has the root of RFC 6962 and stores its subtrees of 256 leaves', () => {
    for (const count of [0, 1, 2, 3, 100, 255, 256, 257, 511, 512, 600, 1_025]) {
      const packed = randomLeaves(count);
      const entries = split(packed);
      const naive = naiveSubtree(entries);
      for (const hasher of [portableHasher, fastHasher]) {
        const tree = hashBatch(hasher, packed);
        expect(tree.leafCount).toBe(count);
        expect(tree.root).toEqual(MTH(entries));
        expect(split(tree.nodes)).toEqual(
          Array.from({ length: Math.floor(count / 256) }, (_, i) => naive(8, i)),
        );
      }
    }
  });

  test('of no leaves is the empty tree', () => {
    expect(hashBatch(fastHasher, new Uint8Array())).toEqual({
      leafCount: 0,
      root: EMPTY_ROOT,
      nodes: new Uint8Array(),
    });
  });

  test.each([65_535, 65_536, 65_537, 66_000, 131_072 + 300])(
    'of %i leaves agrees with a compact range',
    (count) => {
      const packed = randomLeaves(count);
      const tree = hashBatch(fastHasher, packed);
      const range = CompactRange.empty(fastHasher);
      const nodes: Uint8Array[][] = [[], []];
      for (const leaf of split(packed)) {
        range.append(fastHasher.leafHash(leaf), (level, index, hash) => {
          if (level === 8 || level === 16) nodes[level / 8 - 1]![index] = hash;
        });
      }
      expect(tree.root).toEqual(range.root());
      expect(Buffer.compare(tree.nodes, Buffer.concat(nodes.flat()))).toBe(0);
      for (const [level, row] of nodes.entries()) {
        row.forEach((hash, index) => {
          expect(leafAt(tree.nodes, batchNodeOffset(count, level + 1, index))).toEqual(hash);
        });
      }
    },
  );

  test('is the same in slices of any size, with a yield between any two', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 5_000 }),
        fc.integer({ min: 1, max: 2_000 }),
        (count, sliceLeaves) => {
          const packed = randomLeaves(count);
          const { tree, yields } = inSlices(packed, sliceLeaves);
          expect(tree).toEqual(hashBatch(fastHasher, packed));
          const tilesPerSlice = Math.ceil(sliceLeaves / 256);
          expect(yields).toBe(Math.max(0, Math.ceil(Math.floor(count / 256) / tilesPerSlice) - 1));
        },
      ),
      { numRuns: 40 },
    );
  });

  test('proves every leaf from one tile of leaves and the stored nodes', () => {
    for (const count of [1, 2, 255, 256, 257, 1_000, 66_000]) {
      const packed = randomLeaves(count);
      const tree = hashBatch(fastHasher, packed);
      const indexes = new Set(
        [0, 1, 255, 256, count >> 1, count - 2, count - 1].filter((i) => i >= 0 && i < count),
      );
      for (const index of indexes) {
        const path = inclusionPath(fastHasher, index, count, tilesFor(packed, tree, index).subtree);
        const leafHash = portableHasher.leafHash(leafAt(packed, index));
        verifyInclusion(portableHasher, { leafHash, index, size: count, path, root: tree.root });
      }
    }
  });

  test('keeps no reference to the leaves', () => {
    const packed = randomLeaves(300);
    const tree = hashBatch(fastHasher, packed);
    const copy = structuredClone(tree);
    packed.fill(0);
    expect(tree).toEqual(copy);
    expect(hashBatch(fastHasher, randomLeaves(1)).root.buffer.byteLength).toBe(32);
  });

  test('is refused for leaves that are not whole', () => {
    for (const length of [1, 31, 33, 8_191]) {
      expect(() => hashBatch(fastHasher, new Uint8Array(length))).toThrow(
        expect.objectContaining({ code: 'BAD_HASH' }),
      );
    }
  });
});

describe('batchNodeOffset', () => {
  test('numbers the stored hashes row by row without a gap', () => {
    for (const count of [256, 1_000, 65_536, 200_000, 17_000_000]) {
      const offsets: number[] = [];
      for (let level = 1; 256 ** level <= count; level++) {
        for (let index = 0; (index + 1) * 256 ** level <= count; index++) {
          offsets.push(batchNodeOffset(count, level, index));
        }
      }
      expect(offsets).toEqual([...offsets.keys()]);
    }
  });

  test.each([
    [255, 1, 0],
    [256, 1, 1],
    [256, 1, -1],
    [256, 1, 0.5],
    [256, 0, 0],
    [65_535, 2, 0],
  ])('a batch of %i leaves has no node (%i, %p)', (count, level, index) => {
    expect(() => batchNodeOffset(count, level, index)).toThrow(
      expect.objectContaining({ code: 'INDEX_OUT_OF_RANGE' }),
    );
  });
});
