import { sha256 } from '@noble/hashes/sha2.js';
import { MerkleError } from './error.ts';
import { checkHash, countHashes, HASH_SIZE } from './hash.ts';
import { LEAF_PREFIX, NODE_PREFIX, type TreeHasher } from './hasher.ts';

const NODE_INPUT_SIZE = 1 + 2 * HASH_SIZE;
const LEAF_INPUT_SIZE = 1 + HASH_SIZE;

/**
 * The tree's hash functions in plain JavaScript (@noble/hashes): runs wherever JavaScript does.
 *
 * Source: RFC 6962 section 2.1, RFC 9162 section 2.1.1.
 */
export const portableHasher: TreeHasher = {
  leafHash(entry) {
    const input = new Uint8Array(1 + entry.length);
    input[0] = LEAF_PREFIX;
    input.set(entry, 1);
    return sha256(input);
  },

  nodeHash(left, right) {
    checkHash(left, 'left hash');
    checkHash(right, 'right hash');
    const input = new Uint8Array(NODE_INPUT_SIZE);
    input[0] = NODE_PREFIX;
    input.set(left, 1);
    input.set(right, 1 + HASH_SIZE);
    return sha256(input);
  },

  leafHashes(packedEntries) {
    const count = countHashes(packedEntries, 'packed entries');
    return hashRow(packedEntries, count, LEAF_PREFIX, LEAF_INPUT_SIZE);
  },

  nodeHashes(packedPairs) {
    return hashRow(packedPairs, countPairs(packedPairs), NODE_PREFIX, NODE_INPUT_SIZE);
  },

  subtreeHash(packedHashes) {
    checkComplete(packedHashes);
    let row: Uint8Array = packedHashes.slice();
    while (row.length > HASH_SIZE) row = portableHasher.nodeHashes(row);
    return row;
  },

  subtreeHashOfEntries(packedEntries) {
    return portableHasher.subtreeHash(portableHasher.leafHashes(packedEntries));
  },
};

/** @throws MerkleError BAD_HASH for a row that is not the bottom of a complete subtree */
export function checkComplete(packedHashes: Uint8Array): void {
  const count = countHashes(packedHashes, 'packed hashes');
  if (count > 0 && Number.isInteger(Math.log2(count))) return;
  throw new MerkleError(
    'BAD_HASH',
    `the bottom row of a complete subtree has a power of two of hashes, not ${count}`,
  );
}

/**
 * The number of pairs in a packed row.
 *
 * @throws MerkleError BAD_HASH when a hash has no partner
 */
export function countPairs(packedPairs: Uint8Array): number {
  const pairs = countHashes(packedPairs, 'packed pairs') / 2;
  if (Number.isInteger(pairs)) return pairs;
  throw new MerkleError('BAD_HASH', `packed pairs must hold an even number of hashes, not ${pairs * 2}`);
}

function hashRow(packed: Uint8Array, count: number, prefix: number, inputSize: number): Uint8Array {
  const input = new Uint8Array(inputSize);
  input[0] = prefix;
  const stride = inputSize - 1;
  const out = new Uint8Array(count * HASH_SIZE);
  for (let i = 0; i < count; i++) {
    input.set(packed.subarray(i * stride, (i + 1) * stride), 1);
    out.set(sha256(input), i * HASH_SIZE);
  }
  return out;
}
