import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  portableHasher as hasher,
  inclusionPath,
  inclusionSubtrees,
  rootFrom,
  rootSubtrees,
  type SubtreeId,
  Tiles,
  type TreeHasher,
  tilesOf,
} from '../../src/merkle/index.ts';
import { entriesOf, MTH, naiveLeafHash, naiveSubtree, PATH } from './naive-tree.ts';

const pack = (hashes: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(hashes));

/** The stored form of a tree: every tile of it, by level. */
function tilesOfTree(entries: readonly Uint8Array[]): Map<string, Uint8Array> {
  const tiles = new Map<string, Uint8Array>();
  const subtree = naiveSubtree(entries);
  for (let level = 0; 256 ** level <= entries.length; level++) {
    const count = Math.floor(entries.length / 256 ** level);
    const row = Array.from({ length: count }, (_, i) => subtree(level * 8, i));
    for (let at = 0; at < count; at += 256) tiles.set(`${level}/${at / 256}`, pack(row.slice(at, at + 256)));
  }
  return tiles;
}

function fetched(
  stored: Map<string, Uint8Array>,
  subtrees: readonly SubtreeId[],
  by: TreeHasher = hasher,
): Tiles {
  const tiles = new Tiles(by);
  for (const { level, index } of tilesOf(subtrees)) tiles.put(level, index, stored.get(`${level}/${index}`)!);
  return tiles;
}

const small = entriesOf(300);

// Seen red: with rows above a tile numbered from its left end rather than the tree's, with the level of a tile rounded
// up, with the partial pair at the end of a row hashed.
describe('tiles', () => {
  test('answer for every complete subtree of trees of up to 300 leaves', () => {
    for (const size of [1, 2, 3, 7, 8, 100, 255, 256, 257, 300]) {
      const entries = small.slice(0, size);
      const naive = naiveSubtree(entries);
      const tiles = new Tiles(hasher);
      for (const [name, packed] of tilesOfTree(entries)) {
        const [level, index] = name.split('/').map(Number);
        tiles.put(level!, index!, packed);
      }
      for (let level = 0; 2 ** level <= size; level++) {
        for (let index = 0; (index + 1) * 2 ** level <= size; index++) {
          expect(tiles.subtree(level, index)).toEqual(naive(level, index));
        }
      }
    }
  });

  test('give roots and paths from nothing but the tiles that tilesOf names', () => {
    const entries = entriesOf(1_100);
    const treeOf = new Map([300, 512, 1_100].map((size) => [size, tilesOfTree(entries.slice(0, size))]));
    fc.assert(
      fc.property(fc.constantFrom(...treeOf.keys()), fc.nat(), (size, seed) => {
        const stored = treeOf.get(size)!;
        const d = entries.slice(0, size);
        const index = seed % size;
        expect(rootFrom(hasher, size, fetched(stored, rootSubtrees(size)).subtree)).toEqual(MTH(d));
        const path = inclusionPath(
          hasher,
          index,
          size,
          fetched(stored, inclusionSubtrees(index, size)).subtree,
        );
        expect(path).toEqual(PATH(index, d));
      }),
      { numRuns: 20 },
    );
  });

  test('compute each row above a tile once, however often it is asked for', () => {
    let hashed = 0;
    const counting: TreeHasher = {
      ...hasher,
      nodeHashes: (packed) => {
        hashed += packed.length / 64;
        return hasher.nodeHashes(packed);
      },
    };
    const tiles = new Tiles(counting);
    tiles.put(0, 0, pack(small.slice(0, 256).map(naiveLeafHash)));
    for (let index = 0; index < 256; index++) inclusionPath(counting, index, 256, tiles.subtree);
    expect(hashed).toBe(128 + 64 + 32 + 16 + 8 + 4 + 2);
  });

  test('a longer tile replaces a shorter one', () => {
    const tiles = new Tiles(hasher);
    const leaves = small.slice(0, 4).map(naiveLeafHash);
    tiles.put(0, 0, pack(leaves.slice(0, 3)));
    expect(tiles.subtree(1, 0)).toEqual(MTH(small.slice(0, 2)));
    expect(() => tiles.subtree(2, 0)).toThrow(expect.objectContaining({ code: 'MISSING_HASH' }));
    tiles.put(0, 0, pack(leaves));
    expect(tiles.subtree(2, 0)).toEqual(MTH(small.slice(0, 4)));
  });

  test.each([
    [0, 3],
    [0, 256],
    [1, 1],
    [2, 0],
    [8, 0],
    [60, 0],
  ])('subtree (%i, %i) is missed in a tile of three hashes', (level, index) => {
    const tiles = new Tiles(hasher);
    tiles.put(0, 0, pack(small.slice(0, 3).map(naiveLeafHash)));
    expect(() => tiles.subtree(level, index)).toThrow(expect.objectContaining({ code: 'MISSING_HASH' }));
  });

  test.each([0, 31, 33, 257 * 32])('a tile of %i bytes is refused', (length) => {
    const tiles = new Tiles(hasher);
    expect(() => tiles.put(0, 0, new Uint8Array(length))).toThrow(
      expect.objectContaining({ code: 'BAD_HASH' }),
    );
  });

  test('hand out plain views, also of a Buffer', () => {
    const tiles = new Tiles(hasher);
    tiles.put(0, 0, Buffer.concat(small.slice(0, 2).map(naiveLeafHash)));
    expect(Buffer.isBuffer(tiles.subtree(0, 1))).toBe(false);
    expect(tiles.subtree(0, 1)).toEqual(naiveLeafHash(small[1]!));
  });
});

describe('tilesOf', () => {
  test('names each tile once, by level and then by index', () => {
    const subtrees = [
      { level: 8, index: 256 },
      { level: 0, index: 256 },
      { level: 3, index: 0 },
      { level: 7, index: 1 },
      { level: 0, index: 511 },
      { level: 7, index: 2 },
    ];
    expect(tilesOf(subtrees)).toEqual([
      { level: 0, index: 0 },
      { level: 0, index: 1 },
      { level: 1, index: 1 },
    ]);
    expect(tilesOf([])).toEqual([]);
  });

  test('needs at most one tile a level for a root and two for a path', () => {
    fc.assert(
      fc.property(
        fc.maxSafeNat().map((n) => Math.max(1, n)),
        fc.maxSafeNat(),
        (size, seed) => {
          const perLevel = (tiles: readonly { level: number }[]) =>
            Math.max(0, ...[...Map.groupBy(tiles, ({ level }) => level).values()].map((all) => all.length));
          expect(perLevel(tilesOf(rootSubtrees(size)))).toBeLessThanOrEqual(1);
          expect(perLevel(tilesOf(inclusionSubtrees(seed % size, size)))).toBeLessThanOrEqual(2);
        },
      ),
    );
  });
});
