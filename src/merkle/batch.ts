import { MerkleError } from './error.ts';
import { countHashes, HASH_SIZE } from './hash.ts';
import type { TreeHasher } from './hasher.ts';
import { rootFrom } from './subtree.ts';
import { TILE_WIDTH, Tiles } from './tile.ts';

/** The RFC 6962 tree over one batch; its entries are the 32-byte leaves as they were given. */
export interface BatchTree {
  readonly leafCount: number;
  readonly root: Uint8Array;
  /**
   * What is stored beside the leaves, so that a path reads a few KiB of a big batch: the hashes of the complete
   * subtrees of 256 leaves in order, then those of 256^2, and so on. Empty below 256 leaves.
   */
  readonly nodes: Uint8Array;
}

const TILE_SIZE = TILE_WIDTH * HASH_SIZE;

/** Leaves between two yields: about a third of a millisecond with the fast hasher. */
const SLICE_LEAVES = 1024;

/**
 * Hashes a batch in one go.
 *
 * @param packedLeaves N leaves of 32 bytes each
 * @throws MerkleError BAD_HASH when the length is not a multiple of 32
 */
export function hashBatch(hasher: TreeHasher, packedLeaves: Uint8Array): BatchTree {
  const step = hashBatchInSlices(hasher, packedLeaves, Number.MAX_SAFE_INTEGER).next();
  if (step.done) return step.value;
  throw new Error('unreachable: one slice holds every leaf');
}

/**
 * Hashes a batch and yields between slices, so that a server can serve others meanwhile; same result as `hashBatch`.
 *
 * @param packedLeaves N leaves of 32 bytes each; must not change until the generator is done
 * @param sliceLeaves leaves between two yields, rounded up to whole tiles of 256
 * @throws MerkleError BAD_HASH when the length is not a multiple of 32
 */
export function* hashBatchInSlices(
  hasher: TreeHasher,
  packedLeaves: Uint8Array,
  sliceLeaves = SLICE_LEAVES,
): Generator<void, BatchTree> {
  const leafCount = countHashes(packedLeaves, 'packed leaves');
  const rows = new NodeRows(hasher, leafCount);
  const fullTiles = Math.floor(leafCount / TILE_WIDTH);
  const tilesPerSlice = Math.ceil(sliceLeaves / TILE_WIDTH);
  for (let tile = 0; tile < fullTiles; tile++) {
    if (tile > 0 && tile % tilesPerSlice === 0) yield;
    const leaves = packedLeaves.subarray(tile * TILE_SIZE, (tile + 1) * TILE_SIZE);
    rows.push(1, hasher.subtreeHashOfEntries(leaves));
  }
  const rest = packedLeaves.subarray(fullTiles * TILE_SIZE);
  return { leafCount, root: rows.root(hasher.leafHashes(rest)), nodes: rows.nodes };
}

/**
 * Where in `BatchTree.nodes` the hash of subtree number `index` of 256^level leaves is, in hashes (not bytes).
 *
 * @param level 1 for subtrees of 256 leaves, 2 for 256^2, ...
 * @throws MerkleError INDEX_OUT_OF_RANGE when a batch of this many leaves has no such subtree
 */
export function batchNodeOffset(leafCount: number, level: number, index: number): number {
  const inRow = nodesInRow(leafCount, level);
  if (!(level >= 1 && Number.isSafeInteger(index) && index >= 0 && index < inRow)) {
    throw new MerkleError(
      'INDEX_OUT_OF_RANGE',
      `no node (${level}, ${index}) in a batch of ${leafCount} leaves`,
    );
  }
  let offset = index;
  for (let below = 1; below < level; below++) offset += nodesInRow(leafCount, below);
  return offset;
}

/** The rows of `BatchTree.nodes` while they fill from the left. */
class NodeRows {
  readonly nodes: Uint8Array;
  readonly #hasher: TreeHasher;
  readonly #leafCount: number;
  /** For each level from 1: where its row begins and how much of it is there, in bytes. */
  readonly #rows: { readonly start: number; length: number }[] = [];

  constructor(hasher: TreeHasher, leafCount: number) {
    this.#hasher = hasher;
    this.#leafCount = leafCount;
    let total = 0;
    for (let level = 1; nodesInRow(leafCount, level) > 0; level++) {
      this.#rows.push({ start: total, length: 0 });
      total += nodesInRow(leafCount, level) * HASH_SIZE;
    }
    this.nodes = new Uint8Array(total);
  }

  /** Appends a hash to the row of this level; one that fills a tile goes on to the row above. */
  push(level: number, hash: Uint8Array): void {
    const row = this.#rows[level - 1];
    if (row === undefined) return;
    this.nodes.set(hash, row.start + row.length);
    row.length += HASH_SIZE;
    if (row.length % TILE_SIZE !== 0) return;
    const end = row.start + row.length;
    this.push(level + 1, this.#hasher.subtreeHash(this.nodes.subarray(end - TILE_SIZE, end)));
  }

  /** The root over the last, unfilled tile of every level. */
  root(lastLeafHashes: Uint8Array): Uint8Array {
    const tiles = new Tiles(this.#hasher);
    const put = (level: number, row: Uint8Array, length: number) => {
      const full = Math.floor(length / TILE_SIZE);
      const last = row.subarray(row.length - (length - full * TILE_SIZE));
      if (last.length > 0) tiles.put(level, full, last);
    };
    put(0, lastLeafHashes, this.#leafCount * HASH_SIZE);
    this.#rows.forEach(({ start, length }, i) => {
      put(i + 1, this.nodes.subarray(start, start + length), length);
    });
    return rootFrom(this.#hasher, this.#leafCount, tiles.subtree).slice();
  }
}

function nodesInRow(leafCount: number, level: number): number {
  return Math.floor(leafCount / TILE_WIDTH ** level);
}
