import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { fastHasher } from '../../src/merkle/fast.ts';
import {
  CompactRange,
  consistencyPath,
  EMPTY_ROOT,
  inclusionPath,
  portableHasher,
  rootFrom,
  type SubtreeHash,
  Tiles,
  verifyConsistency,
  verifyInclusion,
} from '../../src/merkle/index.ts';

interface Vectors {
  readonly entries: readonly string[];
  readonly levels: readonly (readonly string[])[];
  readonly roots: readonly string[];
  readonly inclusion: readonly { index: number; size: number; path: readonly string[] }[];
  readonly consistency: readonly { first: number; second: number; path: readonly string[] }[];
}

const vectors: Vectors = JSON.parse(
  readFileSync(new URL('./vectors/eight-leaves.json', import.meta.url), 'utf8'),
);
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const hex = (hash: Uint8Array) => Buffer.from(hash).toString('hex');
const entries = vectors.entries.map(bytes);
const published: SubtreeHash = (level, index) => bytes(vectors.levels[level]![index]!);

test('EMPTY_ROOT is the published root of the empty tree', () => {
  expect(hex(EMPTY_ROOT)).toBe(vectors.roots[0]);
});

describe.each([
  ['the portable hasher', portableHasher],
  ['the fast hasher', fastHasher],
])('the published tree of eight leaves, with %s', (_, hasher) => {
  test('every leaf hash, interior node and root is the published one', () => {
    const seen: string[][] = [[], [], [], []];
    const range = CompactRange.empty(hasher);
    expect(hex(range.root())).toBe(vectors.roots[0]);
    entries.forEach((entry, i) => {
      range.append(hasher.leafHash(entry), (level, index, hash) => {
        seen[level]![index] = hex(hash);
      });
      expect(hex(range.root())).toBe(vectors.roots[i + 1]);
      expect(hex(rootFrom(hasher, i + 1, published))).toBe(vectors.roots[i + 1]);
    });
    expect(seen).toEqual(vectors.levels);
  });

  test.each(vectors.inclusion)('the inclusion path of $index in $size is the published one', (vector) => {
    const { index, size } = vector;
    const path = inclusionPath(hasher, index, size, published);
    expect(path.map(hex)).toEqual(vector.path);
    const leafHash = hasher.leafHash(entries[index]!);
    verifyInclusion(hasher, { leafHash, index, size, path, root: bytes(vectors.roots[size]!) });
  });

  test.each(vectors.consistency)(
    'the consistency path of $first to $second is the published one',
    (vector) => {
      const { first, second } = vector;
      const path = consistencyPath(hasher, first, second, published);
      expect(path.map(hex)).toEqual(vector.path);
      verifyConsistency(hasher, {
        firstSize: first,
        secondSize: second,
        firstRoot: bytes(vectors.roots[first]!),
        secondRoot: bytes(vectors.roots[second]!),
        path,
      });
    },
  );
});

/**
 * The accumulated vectors of draft-ietf-plants-merkle-tree-certs, appendix "Subtree Test Vectors" (also in
 * transparency-dev/merkle, testonly/vectors_test.go): one SHA-256 over the results for every subtree [start, end) of
 * trees of up to 130 leaves, where leaf i is the byte i. Such a subtree is a tree of its own over those leaves.
 */
describe('the accumulated vectors of all subtrees of up to 130 leaves', () => {
  const MAX = 130;

  /** Every [start, end) where start is a multiple of the power of two that end - start rounds up to. */
  function* subtrees(): Generator<{ start: number; end: number; subtree: SubtreeHash }> {
    for (let end = 1; end <= MAX; end++) {
      for (let start = 0; start < end; start++) {
        if (start % 2 ** Math.ceil(Math.log2(end - start)) !== 0) continue;
        const packed = Array.from({ length: end - start }, (_, i) =>
          fastHasher.leafHash(Uint8Array.of(start + i)),
        );
        const tiles = new Tiles(fastHasher);
        tiles.put(0, 0, new Uint8Array(Buffer.concat(packed)));
        yield { start, end, subtree: tiles.subtree };
      }
    }
  }

  test('their hashes accumulate to the published value', () => {
    const all = createHash('sha256');
    for (const { start, end, subtree } of subtrees()) {
      all.update(`[${start}, ${end}) ${hex(rootFrom(fastHasher, end - start, subtree))}\n`);
    }
    expect(all.digest('hex')).toBe('94a95384a8c69acea9b50d035a58285b3a777cb7a724005faa5e1f1e1190007f');
  });

  test('their inclusion paths accumulate to the published value', () => {
    const all = createHash('sha256');
    for (const { start, end, subtree } of subtrees()) {
      for (let index = start; index < end; index++) {
        const path = inclusionPath(fastHasher, index - start, end - start, subtree);
        all.update(`${[`${index} [${start}, ${end})`, ...path.map(hex)].join(' ')}\n`);
      }
    }
    expect(all.digest('hex')).toBe('ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f');
  });
});
