import { MerkleError } from './error.ts';
import { countHashes, HASH_SIZE } from './hash.ts';
import type { TreeHasher } from './hasher.ts';
import type { SubtreeHash, SubtreeId } from './subtree.ts';

/** Levels of the tree that one tile spans; the tiles of c2sp.org/tlog-tiles have the same shape. */
export const TILE_HEIGHT = 8;

/** Hashes in a full tile. */
export const TILE_WIDTH = 2 ** TILE_HEIGHT;

/**
 * A row of up to 256 neighbouring hashes: tile (level k, index i) holds the hashes of the complete subtrees of 256^k
 * leaves number `256 * i` to `256 * i + 255`. The last tile of a level may be shorter.
 */
export interface TileId {
  readonly level: number;
  readonly index: number;
}

/** The tiles that hold, or from which can be computed, these subtrees: each once, by level and then by index. */
export function tilesOf(subtrees: Iterable<SubtreeId>): TileId[] {
  const tiles = new Map<string, TileId>();
  for (const { level, index } of subtrees) {
    const place = placeInTile(level, index);
    tiles.set(`${place.tileLevel}/${place.tileIndex}`, { level: place.tileLevel, index: place.tileIndex });
  }
  return [...tiles.values()].sort((a, b) => a.level - b.level || a.index - b.index);
}

/** A bag of tiles that answers for every complete subtree inside them. */
export class Tiles {
  readonly #hasher: TreeHasher;
  readonly #levels: Map<number, Tile>[] = [];

  constructor(hasher: TreeHasher) {
    this.#hasher = hasher;
  }

  /**
   * Adds a tile, or replaces it by a longer one.
   *
   * @param packedHashes 1 to 256 hashes (32 to 8,192 bytes), kept by reference: it must not change afterwards
   * @throws MerkleError BAD_HASH
   */
  put(level: number, index: number, packedHashes: Uint8Array): void {
    const count = countHashes(packedHashes, `tile (${level}, ${index})`);
    if (count < 1 || count > TILE_WIDTH) {
      throw new MerkleError('BAD_HASH', `a tile holds 1 to ${TILE_WIDTH} hashes, not ${count}`);
    }
    while (this.#levels.length <= level) this.#levels.push(new Map());
    this.#levels[level]?.set(index, new Tile(this.#hasher, packedHashes));
  }

  has(level: number, index: number): boolean {
    return this.#levels[level]?.has(index) === true;
  }

  /**
   * The hash of a complete subtree. Bound to its object, so that it can be handed to `rootFrom` and the paths.
   *
   * @throws MerkleError MISSING_HASH when its tile is not there or too short
   */
  readonly subtree: SubtreeHash = (level, index) => {
    const { tileLevel, tileIndex, row, column } = placeInTile(level, index);
    const hash = this.#levels[tileLevel]?.get(tileIndex)?.hashAt(row, column);
    if (hash !== undefined) return hash;
    throw new MerkleError(
      'MISSING_HASH',
      `subtree (${level}, ${index}) needs more of tile (${tileLevel}, ${tileIndex}) than was put here`,
    );
  };
}

/** One tile and the rows above it, each computed when it is first asked for. */
class Tile {
  readonly #hasher: TreeHasher;
  readonly #rows: Uint8Array[];

  constructor(hasher: TreeHasher, packed: Uint8Array) {
    this.#hasher = hasher;
    // A plain view, so that a Buffer's own slice() and toString() do not leak into paths.
    this.#rows = [new Uint8Array(packed.buffer, packed.byteOffset, packed.length)];
  }

  hashAt(row: number, column: number): Uint8Array | undefined {
    const from = column * HASH_SIZE;
    const hashes = this.#row(row);
    return from < hashes.length ? hashes.subarray(from, from + HASH_SIZE) : undefined;
  }

  /** Row 0 is the tile itself; each row above has half as many hashes, less one that has no partner yet. */
  #row(row: number): Uint8Array {
    const known = this.#rows[row];
    if (known !== undefined) return known;
    const below = this.#row(row - 1);
    const pairs = Math.floor(below.length / (2 * HASH_SIZE));
    const computed = this.#hasher.nodeHashes(below.subarray(0, pairs * 2 * HASH_SIZE));
    this.#rows[row] = computed;
    return computed;
  }
}

function placeInTile(level: number, index: number) {
  const tileLevel = Math.floor(level / TILE_HEIGHT);
  const row = level - tileLevel * TILE_HEIGHT;
  const columns = TILE_WIDTH / 2 ** row;
  const tileIndex = Math.floor(index / columns);
  return { tileLevel, tileIndex, row, column: index - tileIndex * columns };
}
