import { MerkleError } from './error.ts';
import { checkHash, equalHashes } from './hash.ts';
import type { TreeHasher } from './hasher.ts';
import {
  checkIndex,
  hashOfRange,
  type LeafRange,
  largestPowerOfTwo,
  type SubtreeHash,
  type SubtreeId,
  subtreesOfRange,
} from './subtree.ts';

/** A leaf's place in a tree and the path that is said to lead from it to the root. */
export interface InclusionProof {
  /** The leaf hash (not the entry), 32 bytes. */
  readonly leafHash: Uint8Array;
  readonly index: number;
  /** Number of leaves of the tree. */
  readonly size: number;
  /** Hashes of 32 bytes, from the leaf's sibling upwards. */
  readonly path: readonly Uint8Array[];
}

/**
 * What `inclusionPath` reads.
 *
 * @throws MerkleError INDEX_OUT_OF_RANGE, SIZE_OUT_OF_RANGE
 */
export function inclusionSubtrees(index: number, size: number): SubtreeId[] {
  return inclusionRanges(index, size).flatMap(subtreesOfRange);
}

/**
 * `PATH(index, D[size])` of RFC 6962 section 2.1.1: the hashes from the leaf's sibling up to below the root.
 * Some may be the very arrays that `subtree` returned.
 *
 * @throws MerkleError INDEX_OUT_OF_RANGE, SIZE_OUT_OF_RANGE, BAD_HASH, and what `subtree` throws
 */
export function inclusionPath(
  hasher: TreeHasher,
  index: number,
  size: number,
  subtree: SubtreeHash,
): Uint8Array[] {
  return inclusionRanges(index, size).map((range) => hashOfRange(hasher, range, subtree));
}

/** The siblings on the way from the root down to the leaf, as PATH splits them, given from the leaf upwards. */
function inclusionRanges(index: number, size: number): LeafRange[] {
  checkIndex(index, size);
  const siblings: LeafRange[] = [];
  let start = 0;
  let end = size;
  let k = largestPowerOfTwo(size);
  while (end - start > 1) {
    // RFC 6962: k is the largest power of two *smaller* than the number of leaves.
    while (k >= end - start) k /= 2;
    const middle = start + k;
    if (index < middle) {
      siblings.push({ start: middle, end });
      end = middle;
    } else {
      siblings.push({ start, end: middle });
      start = middle;
    }
  }
  return siblings.reverse();
}

/**
 * The root that a path leads to: RFC 9162 section 2.1.3.2 without its last comparison.
 *
 * @throws MerkleError INDEX_OUT_OF_RANGE, SIZE_OUT_OF_RANGE, BAD_HASH, WRONG_PATH_LENGTH
 */
export function rootFromInclusionPath(hasher: TreeHasher, proof: InclusionProof): Uint8Array {
  const { leafHash, index, size, path } = proof;
  checkIndex(index, size);
  checkHash(leafHash, 'leaf hash');
  let fn = index;
  let sn = size - 1;
  let r = leafHash;
  for (const [position, p] of path.entries()) {
    // Without this, hashes appended to a good path would move the root that it leads to.
    if (sn === 0) throw wrongLength(proof);
    checkHash(p, `path[${position}]`);
    if (fn % 2 === 1 || fn === sn) {
      r = hasher.nodeHash(p, r);
      // On the right edge a node without a sibling is promoted: skip the levels that have none.
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = Math.floor(sn / 2);
      }
    } else {
      r = hasher.nodeHash(r, p);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  if (sn !== 0) throw wrongLength(proof);
  return new Uint8Array(r);
}

/**
 * Checks that the leaf is in the tree with this root, at this index. The mirror of `inclusionPath`.
 *
 * A path says nothing of its own about the size: that of index 0 in 3 leaves is computed as in 4. Take size and root
 * together from something signed, such as a checkpoint.
 *
 * @throws MerkleError ROOT_MISMATCH, and what `rootFromInclusionPath` throws
 */
export function verifyInclusion(
  hasher: TreeHasher,
  { root, ...proof }: InclusionProof & { readonly root: Uint8Array },
): void {
  checkHash(root, 'root');
  if (equalHashes(rootFromInclusionPath(hasher, proof), root)) return;
  throw new MerkleError(
    'ROOT_MISMATCH',
    `the path of index ${proof.index} in a tree of ${proof.size} leaves leads to another root`,
  );
}

function wrongLength({ index, size, path }: InclusionProof): MerkleError {
  const expected = inclusionRanges(index, size).length;
  return new MerkleError(
    'WRONG_PATH_LENGTH',
    `the inclusion path of index ${index} in a tree of ${size} leaves has ${expected} hashes, not ${path.length}`,
  );
}
