import {
  consistencyPath,
  consistencySubtrees,
  inclusionPath,
  inclusionSubtrees,
  rootFrom,
  rootSubtrees,
  type SubtreeHash,
  type SubtreeId,
  TILE_WIDTH,
  type TileId,
  Tiles,
  type TreeHasher,
  tilesOf,
} from '../merkle/index.ts';
import type { LogEdge } from './log-edge.ts';
import type { Storage } from './storage.ts';

/** One tile with the subtrees inside it is about 16 KiB: at most 64 MiB for all clusters of a process. */
const CACHED_TILES = 4096;

/** Computes roots and paths of committed logs from stored hashes: memory first, then cached tiles, then the database. */
export class LogReader {
  readonly #storage: Storage;
  readonly #hasher: TreeHasher;
  /** Full tiles only: they never change. Least recently used first. */
  readonly #cache = new Map<string, Tiles>();
  /** Grows with every `forget`: what was read before it is not to be remembered after it. */
  #generation = 0;

  constructor(storage: Storage, hasher: TreeHasher) {
    this.#storage = storage;
    this.#hasher = hasher;
  }

  /** The root that the stored hashes give for a size, whatever any head says. */
  async rootAt(clusterId: string, size: number, edge?: LogEdge): Promise<Uint8Array> {
    const subtree = await this.#read(clusterId, size, rootSubtrees(size), edge);
    return rootFrom(this.#hasher, size, subtree);
  }

  async inclusionPath(
    clusterId: string,
    logIndex: number,
    size: number,
    edge?: LogEdge,
  ): Promise<Uint8Array[]> {
    const subtrees = inclusionSubtrees(logIndex, size);
    // What was just appended is all in memory: nothing to wait for, and many ask at once.
    if (
      edge !== undefined &&
      subtrees.every(({ level, index }) => edge.subtree(level, index) !== undefined)
    ) {
      return inclusionPath(this.#hasher, logIndex, size, subtreesOf(edge));
    }
    const subtree = await this.#read(clusterId, size, subtrees, edge);
    return inclusionPath(this.#hasher, logIndex, size, subtree);
  }

  async consistencyPath(
    clusterId: string,
    first: number,
    second: number,
    edge?: LogEdge,
  ): Promise<Uint8Array[]> {
    const subtree = await this.#read(clusterId, second, consistencySubtrees(first, second), edge);
    return consistencyPath(this.#hasher, first, second, subtree);
  }

  /** Drops what was cached of a log whose stored rows turned out to be other rows than before. */
  forget(clusterId: string): void {
    this.#generation++;
    for (const key of this.#cache.keys()) {
      if (key.startsWith(`${clusterId}/`)) this.#cache.delete(key);
    }
  }

  async #read(
    clusterId: string,
    size: number,
    subtrees: readonly SubtreeId[],
    edge: LogEdge | undefined,
  ): Promise<SubtreeHash> {
    const inMemory = new Map<string, Uint8Array>();
    const elsewhere: SubtreeId[] = [];
    for (const id of subtrees) {
      const hash = edge?.subtree(id.level, id.index);
      if (hash === undefined) elsewhere.push(id);
      else inMemory.set(`${id.level}/${id.index}`, hash);
    }
    const tiles =
      elsewhere.length === 0 ? undefined : await this.#readTiles(clusterId, size, tilesOf(elsewhere));
    return (level, index) => {
      const hash = inMemory.get(`${level}/${index}`);
      if (hash !== undefined) return hash;
      if (tiles === undefined) throw new Error(`subtree (${level}, ${index}) was not asked for`);
      return tiles(level, index);
    };
  }

  async #readTiles(clusterId: string, size: number, ids: readonly TileId[]): Promise<SubtreeHash> {
    const found = new Map<string, Tiles>();
    const missing: TileId[] = [];
    for (const id of ids) {
      const cached = this.#cached(`${clusterId}/${id.level}/${id.index}`);
      if (cached === undefined) missing.push(id);
      else found.set(`${id.level}/${id.index}`, cached);
    }
    const ranges = missing.map(({ level, index }) => {
      const inRow = Math.floor(size / TILE_WIDTH ** level);
      return { level, first: index * TILE_WIDTH, count: Math.min(TILE_WIDTH, inRow - index * TILE_WIDTH) };
    });
    const generation = this.#generation;
    const packed = ranges.length === 0 ? [] : await this.#storage.readLogTiles(clusterId, ranges);
    missing.forEach(({ level, index }, i) => {
      const hashes = packed[i];
      const range = ranges[i];
      if (hashes === undefined || range === undefined) return;
      const tiles = new Tiles(this.#hasher);
      tiles.put(level, index, hashes);
      found.set(`${level}/${index}`, tiles);
      if (range.count === TILE_WIDTH && generation === this.#generation)
        this.#remember(`${clusterId}/${level}/${index}`, tiles);
    });
    return (level, index) => {
      const [tile] = tilesOf([{ level, index }]);
      const tiles = tile === undefined ? undefined : found.get(`${tile.level}/${tile.index}`);
      if (tiles === undefined) throw new Error(`subtree (${level}, ${index}) was not asked for`);
      return tiles.subtree(level, index);
    };
  }

  #cached(key: string): Tiles | undefined {
    const tiles = this.#cache.get(key);
    if (tiles === undefined) return undefined;
    this.#cache.delete(key);
    this.#cache.set(key, tiles);
    return tiles;
  }

  #remember(key: string, tiles: Tiles): void {
    this.#cache.set(key, tiles);
    if (this.#cache.size <= CACHED_TILES) return;
    for (const oldest of this.#cache.keys()) {
      this.#cache.delete(oldest);
      break;
    }
  }
}

/** For as long as the edge does not move: until the end of this turn. */
function subtreesOf(edge: LogEdge): SubtreeHash {
  return (level, index) => {
    const hash = edge.subtree(level, index);
    if (hash === undefined) throw new Error(`subtree (${level}, ${index}) is not in memory`);
    return hash;
  };
}
