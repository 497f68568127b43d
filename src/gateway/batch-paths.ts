import { hashBatch, inclusionPath, TILE_WIDTH, Tiles, type TreeHasher } from '../merkle/index.ts';

const TILE_SIZE = TILE_WIDTH * 32;

/** Paths from the leaves of one batch to its root. Nothing is hashed before the first is asked for. */
export class BatchPaths {
  readonly #hasher: TreeHasher;
  readonly #packedLeaves: Uint8Array;
  #tiles: Tiles | undefined;

  /** @param packedLeaves N * 32 bytes; must not change afterwards */
  constructor(hasher: TreeHasher, packedLeaves: Uint8Array) {
    this.#hasher = hasher;
    this.#packedLeaves = packedLeaves;
  }

  /** @returns hashes of 32 bytes, from the leaf's sibling upwards */
  pathOf(leafIndex: number): Uint8Array[] {
    this.#tiles ??= this.#upperTiles();
    const tile = Math.floor(leafIndex / TILE_WIDTH);
    this.#putLeaves(this.#tiles, tile);
    const leafCount = this.#packedLeaves.length / 32;
    // The unfilled tile on the right edge is a sibling of many.
    this.#putLeaves(this.#tiles, Math.floor((leafCount - 1) / TILE_WIDTH));
    return inclusionPath(this.#hasher, leafIndex, leafCount, this.#tiles.subtree);
  }

  #putLeaves(tiles: Tiles, tile: number): void {
    if (tiles.has(0, tile)) return;
    const leaves = this.#packedLeaves.subarray(tile * TILE_SIZE, (tile + 1) * TILE_SIZE);
    tiles.put(0, tile, this.#hasher.leafHashes(leaves));
  }

  #upperTiles(): Tiles {
    const { nodes, leafCount } = hashBatch(this.#hasher, this.#packedLeaves);
    const tiles = new Tiles(this.#hasher);
    let start = 0;
    for (let level = 1, inRow = Math.floor(leafCount / TILE_WIDTH); inRow > 0; level++) {
      const row = nodes.subarray(start, start + inRow * 32);
      for (let at = 0, index = 0; at < row.length; at += TILE_SIZE, index++) {
        tiles.put(level, index, row.subarray(at, at + TILE_SIZE));
      }
      start += row.length;
      inRow = Math.floor(inRow / TILE_WIDTH);
    }
    return tiles;
  }
}
