import { CompactRange, TILE_HEIGHT, TILE_WIDTH, Tiles, type TreeHasher } from '../merkle/index.ts';
import type { LogNode, LogTileRange } from './storage.ts';

/** Hashes kept for each level: enough for the paths of a full group and for checkpoints that gateways kept lately. */
const RECENT_HASHES = 4096;

/** What appending some records to an edge makes of it. Nothing has changed until `apply`. */
export interface EdgeExtension {
  readonly oldSize: number;
  readonly newSize: number;
  readonly root: Uint8Array;
  /** The subtrees of 256^k records, k >= 1, that became complete: what storage keeps. */
  readonly logNodes: readonly LogNode[];
  /** Every subtree that became complete, here with its level in the binary tree. */
  readonly completed: readonly LogNode[];
  readonly range: CompactRange;
}

/**
 * The right edge of one cluster's log in memory: what an append needs to compute the next root, and what the answers to
 * appends need for their paths, without reading the database.
 */
export class LogEdge {
  /** The newest complete subtrees of each level, neighbours in order. */
  readonly #rows: { first: number; readonly hashes: Uint8Array[] }[] = [];
  #range: CompactRange;
  #root: Uint8Array;

  private constructor(range: CompactRange) {
    this.#range = range;
    this.#root = range.root();
  }

  /** The stored hashes that `load` needs for a log of this size: the last, unfilled tile of each level. */
  static rangesOf(size: number): LogTileRange[] {
    const ranges: LogTileRange[] = [];
    for (let level = 0, row = size; row > 0; level++, row = Math.floor(row / TILE_WIDTH)) {
      const count = row % TILE_WIDTH;
      if (count > 0) ranges.push({ level, first: row - count, count });
    }
    return ranges;
  }

  /**
   * @param packed the stored hashes of each of `rangesOf(size)`, in order
   * @throws MerkleError where hashes are missing
   */
  static load(hasher: TreeHasher, size: number, packed: readonly Uint8Array[]): LogEdge {
    const tiles = new Tiles(hasher);
    const ranges = LogEdge.rangesOf(size);
    ranges.forEach(({ level, first }, i) => {
      const hashes = packed[i];
      if (hashes !== undefined) tiles.put(level, first / TILE_WIDTH, hashes);
    });
    const edge = new LogEdge(CompactRange.from(hasher, size, tiles.subtree));
    for (const range of ranges) edge.#rememberTile(range, tiles);
    return edge;
  }

  get size(): number {
    return this.#range.size;
  }

  get root(): Uint8Array {
    return this.#root;
  }

  /** Computes the tree after some more records; the edge itself stays as it is. */
  extend(recordHashes: readonly Uint8Array[]): EdgeExtension {
    const range = this.#range.clone();
    const completed: LogNode[] = [];
    for (const recordHash of recordHashes) {
      range.append(recordHash, (level, index, hash) => completed.push({ level, index, hash }));
    }
    const logNodes = completed
      .filter(({ level }) => level > 0 && level % TILE_HEIGHT === 0)
      .map(({ level, index, hash }) => ({ level: level / TILE_HEIGHT, index, hash }));
    return { oldSize: this.size, newSize: range.size, root: range.root(), logNodes, completed, range };
  }

  /** Makes an extension of exactly this edge the edge. */
  apply(extension: EdgeExtension): void {
    if (extension.oldSize !== this.size) {
      throw new Error(`an extension of size ${extension.oldSize} cannot extend an edge of size ${this.size}`);
    }
    for (const { level, index, hash } of extension.completed) this.#remember(level, index, hash);
    this.#range = extension.range;
    this.#root = extension.root;
  }

  /** The hash of a complete subtree (level and index in the binary tree), where it is still in memory. */
  subtree(level: number, index: number): Uint8Array | undefined {
    const row = this.#rows[level];
    return row === undefined || index < row.first ? undefined : row.hashes[index - row.first];
  }

  /** The hashes of one loaded tile and of all complete subtrees inside it. */
  #rememberTile({ level, first, count }: LogTileRange, tiles: Tiles): void {
    for (let row = 0, width = 1; row < TILE_HEIGHT && width <= count; row++, width *= 2) {
      const binaryLevel = level * TILE_HEIGHT + row;
      for (let index = first / width; index < first / width + Math.floor(count / width); index++) {
        this.#remember(binaryLevel, index, tiles.subtree(binaryLevel, index));
      }
    }
  }

  #remember(level: number, index: number, hash: Uint8Array): void {
    while (this.#rows.length <= level) this.#rows.push({ first: 0, hashes: [] });
    const row = this.#rows[level];
    if (row === undefined) return;
    if (row.hashes.length === 0) row.first = index;
    row.hashes.push(hash);
    if (row.hashes.length >= 2 * RECENT_HASHES) row.first += row.hashes.splice(0, RECENT_HASHES).length;
  }
}
