import { MerkleError } from './error.ts';
import { checkHash, EMPTY_ROOT, equalHashes } from './hash.ts';
import type { TreeHasher } from './hasher.ts';
import {
  checkSize,
  hashOfRange,
  type LeafRange,
  largestPowerOfTwo,
  type SubtreeHash,
  type SubtreeId,
  subtreesOfRange,
} from './subtree.ts';

/** Two heads of one log and the path that is said to show that the second only appended to the first. */
export interface ConsistencyProof {
  readonly firstSize: number;
  readonly secondSize: number;
  readonly firstRoot: Uint8Array;
  readonly secondRoot: Uint8Array;
  /** Hashes of 32 bytes; empty when `firstSize` is 0 or equals `secondSize`. */
  readonly path: readonly Uint8Array[];
}

/**
 * What `consistencyPath` reads.
 *
 * @throws MerkleError SIZE_OUT_OF_RANGE, also when `first` is above `second`
 */
export function consistencySubtrees(first: number, second: number): SubtreeId[] {
  return consistencyRanges(first, second).flatMap(subtreesOfRange);
}

/**
 * `PROOF(first, D[second])` of RFC 6962 section 2.1.2; empty when `first` is 0 or equals `second`.
 *
 * @throws MerkleError SIZE_OUT_OF_RANGE (also when `first` is above `second`), BAD_HASH, and what `subtree` throws
 */
export function consistencyPath(
  hasher: TreeHasher,
  first: number,
  second: number,
  subtree: SubtreeHash,
): Uint8Array[] {
  return consistencyRanges(first, second).map((range) => hashOfRange(hasher, range, subtree));
}

/** SUBPROOF of RFC 6962 section 2.1.2 as a loop from the root down; its ranges from the deepest upwards. */
function consistencyRanges(first: number, second: number): LeafRange[] {
  checkSizes(first, second);
  if (first === 0 || first === second) return [];
  const ranges: LeafRange[] = [];
  let start = 0;
  let end = second;
  let k = largestPowerOfTwo(second);
  while (end !== first) {
    while (k >= end - start) k /= 2;
    const middle = start + k;
    if (first <= middle) {
      ranges.push({ start: middle, end });
      end = middle;
    } else {
      ranges.push({ start, end: middle });
      start = middle;
    }
  }
  // Where the whole first tree is one subtree of the second, its root is known to the verifier and left out.
  if (start !== 0) ranges.push({ start, end });
  return ranges.reverse();
}

/**
 * Checks that the second tree begins with all leaves of the first. The mirror of `consistencyPath`.
 *
 * RFC 9162 section 2.1.4.2; beyond it, from size 0 anything is consistent provided that the first root is the empty
 * one, and between equal sizes the roots must be equal; in both cases the path must be empty.
 *
 * @throws MerkleError SIZE_OUT_OF_RANGE, BAD_HASH, WRONG_PATH_LENGTH, ROOT_MISMATCH
 */
export function verifyConsistency(hasher: TreeHasher, proof: ConsistencyProof): void {
  const { firstSize, secondSize, firstRoot, secondRoot, path } = proof;
  checkSizes(firstSize, secondSize);
  checkHash(firstRoot, 'first root');
  checkHash(secondRoot, 'second root');
  if (firstSize === 0 && !equalHashes(firstRoot, EMPTY_ROOT)) throw mismatch(proof, 'first');
  if (firstSize === 0 || firstSize === secondSize) {
    if (path.length !== 0) throw wrongLength(proof);
    if (firstSize === secondSize && !equalHashes(firstRoot, secondRoot)) throw mismatch(proof, 'second');
    return;
  }

  let fn = firstSize - 1;
  let sn = secondSize - 1;
  while (fn % 2 === 1) {
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  // fn is 0 here exactly when the first size is a power of two: its root is then the start of the path.
  const [seed, ...rest] = fn === 0 ? [firstRoot, ...path] : path;
  if (seed === undefined) throw wrongLength(proof);
  checkHash(seed, 'path[0]');
  let fr = seed;
  let sr = seed;
  const offset = path.length - rest.length;
  for (const [position, c] of rest.entries()) {
    if (sn === 0) throw wrongLength(proof);
    checkHash(c, `path[${position + offset}]`);
    if (fn % 2 === 1 || fn === sn) {
      fr = hasher.nodeHash(c, fr);
      sr = hasher.nodeHash(c, sr);
      while (fn % 2 === 0 && fn !== 0) {
        fn /= 2;
        sn = Math.floor(sn / 2);
      }
    } else {
      sr = hasher.nodeHash(sr, c);
    }
    fn = Math.floor(fn / 2);
    sn = Math.floor(sn / 2);
  }
  if (sn !== 0) throw wrongLength(proof);
  if (!equalHashes(fr, firstRoot)) throw mismatch(proof, 'first');
  if (!equalHashes(sr, secondRoot)) throw mismatch(proof, 'second');
}

function checkSizes(first: number, second: number): void {
  checkSize(first);
  checkSize(second);
  if (first <= second) return;
  throw new MerkleError('SIZE_OUT_OF_RANGE', `first size ${first} is above second size ${second}`);
}

function wrongLength({ firstSize, secondSize, path }: ConsistencyProof): MerkleError {
  const expected = consistencyRanges(firstSize, secondSize).length;
  return new MerkleError(
    'WRONG_PATH_LENGTH',
    `the consistency path from ${firstSize} to ${secondSize} leaves has ${expected} hashes, not ${path.length}`,
  );
}

function mismatch({ firstSize, secondSize }: ConsistencyProof, which: 'first' | 'second'): MerkleError {
  return new MerkleError(
    'ROOT_MISMATCH',
    `a tree of ${secondSize} leaves is not shown to extend one of ${firstSize}: the ${which} root differs`,
  );
}
