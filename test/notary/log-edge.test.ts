import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fastHasher } from '../../src/merkle/fast.ts';
import { equalHashes, type TreeHasher, verifyConsistency, verifyInclusion } from '../../src/merkle/index.ts';
import { LogEdge } from '../../src/notary/log-edge.ts';
import { LogReader } from '../../src/notary/log-reader.ts';
import { type LogTileRange, type Storage, StorageError } from '../../src/notary/storage.ts';

const hasher: TreeHasher = fastHasher;
const CLUSTER = '0195c3a0-1c00-7000-8000-000000000001';

const recordHash = (i: number) => new Uint8Array(createHash('sha256').update(`record ${i}`).digest());

/** The stored hashes of a log, as `readLogTiles` gives them; nothing else of the storage exists. */
class StoredHashes {
  readonly levels: Uint8Array[][] = [[]];
  reads = 0;

  put(level: number, index: number, hash: Uint8Array): void {
    while (this.levels.length <= level) this.levels.push([]);
    this.levels[level]![index] = hash;
  }

  async read(ranges: readonly LogTileRange[]): Promise<Uint8Array[]> {
    this.reads++;
    return ranges.map(({ level, first, count }) => {
      const hashes = (this.levels[level] ?? []).slice(first, first + count);
      if (hashes.length !== count) throw new StorageError('CORRUPT', 'a hash is missing');
      return new Uint8Array(Buffer.concat(hashes));
    });
  }

  get storage(): Storage {
    const readLogTiles: Storage['readLogTiles'] = (_clusterId, ranges) => this.read(ranges);
    return { readLogTiles } as unknown as Storage;
  }
}

/** RFC 6962 roots of all prefixes at once: the peaks of a binary counter, folded from the right. Independent of src/merkle. */
class NaiveLog {
  readonly #peaks: { readonly size: number; readonly hash: Uint8Array }[] = [];

  append(hash: Uint8Array): void {
    let peak = { size: 1, hash };
    for (let last = this.#peaks.at(-1); last?.size === peak.size; last = this.#peaks.at(-1)) {
      this.#peaks.pop();
      peak = { size: peak.size * 2, hash: nodeHash(last.hash, peak.hash) };
    }
    this.#peaks.push(peak);
  }

  get root(): Uint8Array {
    if (this.#peaks.length === 0) return new Uint8Array(createHash('sha256').digest());
    return this.#peaks.map(({ hash }) => hash).reduceRight((right, left) => nodeHash(left, right));
  }
}

function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(Uint8Array.of(1)).update(left).update(right).digest());
}

describe('the edge of a log', () => {
  test('gives the root of every size as it grows by groups, and stores what a reload needs', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 12 }),
        async (groups) => {
          const stored = new StoredHashes();
          const naive = new NaiveLog();
          let edge = LogEdge.load(hasher, 0, []);
          for (const [step, count] of groups.entries()) {
            const hashes = Array.from({ length: count }, (_, i) => recordHash(edge.size + i));
            const before = edge.root;
            const extension = edge.extend(hashes);
            expect(edge.root).toEqual(before);
            for (const [i, hash] of hashes.entries()) {
              stored.put(0, extension.oldSize + i, hash);
              naive.append(hash);
            }
            for (const { level, index, hash } of extension.logNodes) stored.put(level, index, hash);
            edge.apply(extension);
            expect(equalHashes(edge.root, naive.root)).toBe(true);
            const loaded = LogEdge.load(hasher, edge.size, await stored.read(LogEdge.rangesOf(edge.size)));
            expect(equalHashes(loaded.root, naive.root)).toBe(true);
            // Every other time the log goes on from what was loaded, as after a restart.
            if (step % 2 === 1) edge = loaded;
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  test('refuses an extension of another size', () => {
    const edge = LogEdge.load(hasher, 0, []);
    const extension = edge.extend([recordHash(0)]);
    edge.apply(extension);
    expect(() => edge.apply(extension)).toThrow('cannot extend an edge of size 1');
  });
});

describe('a log of 70,000 records', () => {
  const SIZE = 70_000;
  const stored = new StoredHashes();
  const roots = new Map<number, Uint8Array>();
  const sizes = [0, 1, 2, 3, 255, 256, 257, 511, 512, 4095, 4096, 8192, 65_535, 65_536, 65_537, 69_999, SIZE];
  const edge = LogEdge.load(hasher, 0, []);
  const naive = new NaiveLog();
  roots.set(0, naive.root);
  while (edge.size < SIZE) {
    // Groups of odd lengths that end at every size of the list.
    const next = sizes.find((size) => size > edge.size)!;
    const count = Math.min(997, next - edge.size);
    const hashes = Array.from({ length: count }, (_, i) => recordHash(edge.size + i));
    const extension = edge.extend(hashes);
    for (const [i, hash] of hashes.entries()) {
      stored.put(0, extension.oldSize + i, hash);
      naive.append(hash);
    }
    for (const { level, index, hash } of extension.logNodes) stored.put(level, index, hash);
    edge.apply(extension);
    roots.set(edge.size, naive.root);
  }

  test('stores one hash for each 256 records and one for each 65,536', () => {
    expect(stored.levels.map((row) => row.length)).toEqual([SIZE, 273, 1]);
  });

  // With the grown edge, with one loaded from storage, and with no memory at all: all three must agree.
  const readers = {
    'from memory': async () => edge,
    'from a loaded edge': async () => {
      return LogEdge.load(hasher, SIZE, await stored.read(LogEdge.rangesOf(SIZE)));
    },
    'from stored hashes alone': async () => undefined,
  };

  test.each(Object.entries(readers))('has the roots of all its sizes, %s', async (_name, load) => {
    const reader = new LogReader(stored.storage, hasher);
    const memory = await load();
    for (const [size, root] of roots) {
      expect([size, await reader.rootAt(CLUSTER, size, memory)]).toEqual([size, root]);
    }
  });

  test.each(Object.entries(readers))('proves records at many sizes, %s', async (_name, load) => {
    const reader = new LogReader(stored.storage, hasher);
    const memory = await load();
    for (const size of sizes.filter((n) => n > 0)) {
      const indexes = [0, 1, 255, 256, 65_535, 65_536, size - 1, Math.floor(size / 3)];
      for (const index of new Set(indexes.filter((i) => i < size))) {
        const path = await reader.inclusionPath(CLUSTER, index, size, memory);
        verifyInclusion(hasher, { leafHash: recordHash(index), index, size, path, root: roots.get(size)! });
      }
    }
  });

  test.each(Object.entries(readers))('proves consistency of all pairs of sizes, %s', async (_name, load) => {
    const reader = new LogReader(stored.storage, hasher);
    const memory = await load();
    for (const [i, firstSize] of sizes.entries()) {
      for (const secondSize of sizes.slice(i)) {
        const path = await reader.consistencyPath(CLUSTER, firstSize, secondSize, memory);
        const [firstRoot, secondRoot] = [roots.get(firstSize)!, roots.get(secondSize)!];
        verifyConsistency(hasher, { firstSize, secondSize, firstRoot, secondRoot, path });
      }
    }
  });

  test('is proven near its end without reading', async () => {
    const reader = new LogReader(stored.storage, hasher);
    stored.reads = 0;
    for (let index = SIZE - 1000; index < SIZE; index += 37) {
      await reader.inclusionPath(CLUSTER, index, SIZE, edge);
    }
    expect(stored.reads).toBe(0);
  });

  test('is read again after it was forgotten, and not before', async () => {
    const reader = new LogReader(stored.storage, hasher);
    const read = async () => {
      stored.reads = 0;
      await reader.inclusionPath(CLUSTER, 300, 65_536);
      return stored.reads;
    };
    expect([await read(), await read()]).toEqual([1, 0]);
    reader.forget('another cluster');
    expect(await read()).toBe(0);
    reader.forget(CLUSTER);
    expect(await read()).toBe(1);
  });
});
