import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CompactRange, EMPTY_ROOT, portableHasher as hasher, rootSubtrees } from '../../src/merkle/index.ts';
import { entriesOf, MTH, naiveLeafHash, naiveSubtree } from './naive-tree.ts';

const entries = entriesOf(200);
const leafHashes = entries.map(naiveLeafHash);

// Seen red: with the edge shared between a range and its clone, with subtrees joined while the size (not the index at
// the current level) is odd, with the edge folded from the left,
// with EMPTY_ROOT itself handed out.
describe('a compact range', () => {
  test('has the root of RFC 6962 after every append', () => {
    const range = CompactRange.empty(hasher);
    expect(range.root()).toEqual(EMPTY_ROOT);
    leafHashes.forEach((leafHash, i) => {
      range.append(leafHash);
      expect(range.size).toBe(i + 1);
      expect(range.root()).toEqual(MTH(entries.slice(0, i + 1)));
    });
  });

  test('can be taken up from the stored subtrees of any size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 150 }), fc.integer({ min: 0, max: 50 }), (stored, added) => {
        const range = CompactRange.from(hasher, stored, naiveSubtree(entries.slice(0, stored)));
        expect(range.root()).toEqual(MTH(entries.slice(0, stored)));
        for (const leafHash of leafHashes.slice(stored, stored + added)) range.append(leafHash);
        expect(range.root()).toEqual(MTH(entries.slice(0, stored + added)));
      }),
      { numRuns: 50 },
    );
  });

  test('shows every complete subtree exactly once, when its last leaf comes', () => {
    const range = CompactRange.empty(hasher);
    const subtree = naiveSubtree(entries);
    const seen = new Set<string>();
    leafHashes.forEach((leafHash, i) => {
      range.append(leafHash, (level, index, hash) => {
        expect((index + 1) * 2 ** level).toBe(i + 1);
        expect(hash).toEqual(subtree(level, index));
        seen.add(`${level}/${index}`);
      });
    });
    let complete = 0;
    for (let level = 0; 2 ** level <= 200; level++) complete += Math.floor(200 / 2 ** level);
    expect(seen.size).toBe(complete);
  });

  test('and its clone grow apart', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100 }), (size) => {
        const range = CompactRange.from(hasher, size, naiveSubtree(entries.slice(0, size)));
        const clone = range.clone();
        for (const leafHash of leafHashes.slice(size, size + 3)) clone.append(leafHash);
        expect([range.size, range.root()]).toEqual([size, MTH(entries.slice(0, size))]);
        expect([clone.size, clone.root()]).toEqual([size + 3, MTH(entries.slice(0, size + 3))]);
      }),
      { numRuns: 30 },
    );
  });

  test('keeps no reference to what it is given, and hands out none to what it keeps', () => {
    const leafHash = naiveLeafHash(entries[0]!);
    const appended = CompactRange.empty(hasher);
    appended.append(leafHash);
    const taken = CompactRange.from(hasher, 1, () => leafHash);
    leafHash.fill(0);
    appended.root().fill(0);
    expect(appended.root()).toEqual(naiveLeafHash(entries[0]!));
    expect(taken.root()).toEqual(naiveLeafHash(entries[0]!));
    CompactRange.empty(hasher).root().fill(0);
    expect(CompactRange.empty(hasher).root()).toEqual(MTH([]));
    expect(EMPTY_ROOT).toEqual(MTH([]));
  });

  test('refuses what is no leaf hash, and stays as it was', () => {
    const range = CompactRange.empty(hasher);
    expect(() => range.append(new Uint8Array(31))).toThrow(expect.objectContaining({ code: 'BAD_HASH' }));
    expect(range.size).toBe(0);
    expect(() => CompactRange.from(hasher, 1, () => new Uint8Array(33))).toThrow(
      expect.objectContaining({ code: 'BAD_HASH' }),
    );
  });

  test('takes 2^53 - 1 leaves and not one more', () => {
    const last = Number.MAX_SAFE_INTEGER - 1;
    const range = CompactRange.from(hasher, last, () => new Uint8Array(32));
    expect(rootSubtrees(last)).toHaveLength(52);
    const seen: [number, number][] = [];
    range.append(new Uint8Array(32), (level, index) => seen.push([level, index]));
    expect(seen).toEqual([[0, last]]);
    expect(range.size).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => range.append(new Uint8Array(32))).toThrow(
      expect.objectContaining({ code: 'SIZE_OUT_OF_RANGE' }),
    );
  });
});
