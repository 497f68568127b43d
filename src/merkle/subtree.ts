import { MerkleError } from './error.ts';
import { checkHash, EMPTY_ROOT } from './hash.ts';
import type { TreeHasher } from './hasher.ts';

/**
 * A complete subtree: the leaves `[index * 2^level, (index + 1) * 2^level)`. Level 0 is a leaf hash. Its hash never
 * changes once those leaves exist, whatever the size of the tree around it, which is why it can be stored.
 */
export interface SubtreeId {
  readonly level: number;
  readonly index: number;
}

/** Where the hashes of complete subtrees come from. */
export type SubtreeHash = (level: number, index: number) => Uint8Array;

/**
 * The leaves `[start, end)` as the RFCs split them: `start` is a multiple of the smallest power of two that is at
 * least `end - start`. Its hash is `MTH(D[start:end])`.
 */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Refuses a tree size that is not a whole number from 0 to 2^53 - 1. Sizes are JavaScript numbers, and exact up to
 * there; all arithmetic on them is by doubles, never by 32-bit operators.
 *
 * @throws MerkleError SIZE_OUT_OF_RANGE
 */
export function checkSize(size: number): void {
  if (Number.isSafeInteger(size) && size >= 0) return;
  throw new MerkleError(
    'SIZE_OUT_OF_RANGE',
    `tree size must be a whole number from 0 to 2^53 - 1, not ${size}`,
  );
}

/**
 * Refuses an index at or past the end of the tree.
 *
 * @throws MerkleError INDEX_OUT_OF_RANGE, SIZE_OUT_OF_RANGE
 */
export function checkIndex(index: number, size: number): void {
  checkSize(size);
  if (Number.isSafeInteger(index) && index >= 0 && index < size) return;
  throw new MerkleError('INDEX_OUT_OF_RANGE', `index ${index} is not in a tree of ${size} leaves`);
}

/** The largest power of two that is not above `n`, for `n` from 1 to 2^53 - 1. */
export function largestPowerOfTwo(n: number): number {
  let power = 1;
  while (power <= n / 2) power *= 2;
  return power;
}

/** The complete subtrees that make up a range, left to right: one for each bit of its length, the highest first. */
export function subtreesOfRange({ start, end }: LeafRange): SubtreeId[] {
  const subtrees: SubtreeId[] = [];
  let from = start;
  let power = end > start ? largestPowerOfTwo(end - start) : 0;
  for (let level = Math.log2(power); from < end; level--, power /= 2) {
    if (power > end - from) continue;
    subtrees.push({ level, index: from / power });
    from += power;
  }
  return subtrees;
}

/** `MTH(D[start:end])`: its complete subtrees, folded from the right. */
export function hashOfRange(hasher: TreeHasher, range: LeafRange, subtree: SubtreeHash): Uint8Array {
  const read = subtreesOfRange(range).map(({ level, index }) => {
    const hash = subtree(level, index);
    checkHash(hash, `hash of subtree (${level}, ${index})`);
    return hash;
  });
  return foldRight(hasher, read);
}

/** The root over complete subtrees in order: each is joined with all that is on its right. Of none, EMPTY_ROOT. */
export function foldRight(hasher: TreeHasher, hashes: readonly Uint8Array[]): Uint8Array {
  if (hashes.length === 0) return EMPTY_ROOT.slice();
  return hashes.reduceRight((right, left) => hasher.nodeHash(left, right));
}

/**
 * What `rootFrom` reads for a tree of this size.
 *
 * @throws MerkleError SIZE_OUT_OF_RANGE
 */
export function rootSubtrees(size: number): SubtreeId[] {
  checkSize(size);
  return subtreesOfRange({ start: 0, end: size });
}

/**
 * `MTH(D[size])` of RFC 6962 section 2.1, from the hashes of complete subtrees. Where one of them is the whole tree,
 * the result is the very array that `subtree` returned.
 *
 * @throws MerkleError SIZE_OUT_OF_RANGE, BAD_HASH, and what `subtree` throws
 */
export function rootFrom(hasher: TreeHasher, size: number, subtree: SubtreeHash): Uint8Array {
  checkSize(size);
  return hashOfRange(hasher, { start: 0, end: size }, subtree);
}
