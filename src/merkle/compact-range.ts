import { MerkleError } from './error.ts';
import { checkHash } from './hash.ts';
import type { TreeHasher } from './hasher.ts';
import { foldRight, rootSubtrees, type SubtreeHash } from './subtree.ts';

/** Called with each complete subtree that an append closes, the leaf itself (level 0) first. */
export type SubtreeVisitor = (level: number, index: number, hash: Uint8Array) => void;

/**
 * The right edge of a growing tree: the hashes of the complete subtrees that its size decomposes into, at most 53 of
 * them. Enough to append for ever and to know the root, without any of the leaves.
 */
export class CompactRange {
  readonly #hasher: TreeHasher;
  readonly #edge: Uint8Array[];
  #size: number;

  private constructor(hasher: TreeHasher, size: number, edge: Uint8Array[]) {
    this.#hasher = hasher;
    this.#size = size;
    this.#edge = edge;
  }

  /** The tree without leaves. */
  static empty(hasher: TreeHasher): CompactRange {
    return new CompactRange(hasher, 0, []);
  }

  /**
   * The edge of a stored tree of `size` leaves; reads `rootSubtrees(size)`.
   *
   * @throws MerkleError SIZE_OUT_OF_RANGE, BAD_HASH, and what `subtree` throws
   */
  static from(hasher: TreeHasher, size: number, subtree: SubtreeHash): CompactRange {
    const edge = rootSubtrees(size).map(({ level, index }) => {
      const hash = subtree(level, index);
      checkHash(hash, `hash of subtree (${level}, ${index})`);
      // A copy: a range lives long, and must not hold on to the tile or network buffer that the hash is a part of.
      return new Uint8Array(hash);
    });
    return new CompactRange(hasher, size, edge);
  }

  /** Number of leaves. */
  get size(): number {
    return this.#size;
  }

  /**
   * Appends one leaf.
   *
   * @param leafHash 32 bytes, copied
   * @param visit told of every subtree that this leaf completes, e.g. to store those at levels 8, 16, ...
   * @throws MerkleError BAD_HASH, SIZE_OUT_OF_RANGE at 2^53 - 1 leaves
   */
  append(leafHash: Uint8Array, visit?: SubtreeVisitor): void {
    checkHash(leafHash, 'leaf hash');
    if (this.#size === Number.MAX_SAFE_INTEGER) {
      throw new MerkleError('SIZE_OUT_OF_RANGE', `the tree is full at ${this.#size} leaves`);
    }
    let hash: Uint8Array = new Uint8Array(leafHash);
    let index = this.#size;
    let level = 0;
    visit?.(level, index, hash);
    // An odd index is a right child: its left sibling is the last of the edge.
    for (; index % 2 === 1; index = (index - 1) / 2) {
      const left = this.#edge.pop();
      if (left === undefined) break;
      hash = this.#hasher.nodeHash(left, hash);
      level++;
      visit?.(level, (index - 1) / 2, hash);
    }
    this.#edge.push(hash);
    this.#size++;
  }

  /** `MTH` of all leaves so far (RFC 6962 section 2.1). */
  root(): Uint8Array {
    const root = foldRight(this.#hasher, this.#edge);
    return this.#edge.length === 1 ? root.slice() : root;
  }

  /** An independent copy: appending to one does not change the other. */
  clone(): CompactRange {
    return new CompactRange(this.#hasher, this.#size, [...this.#edge]);
  }
}
