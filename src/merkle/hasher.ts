/**
 * The two hash functions of an RFC 6962 tree (section 2.1), one at a time and for whole rows.
 *
 * Every result is a fresh array that belongs to the caller. The `*Hashes` forms are what makes a batch fast: a hasher
 * may work on several hashes at once there. They return the same bytes as the one-at-a-time forms.
 */
export interface TreeHasher {
  /** `SHA-256(0x00 || entry)`, for an entry of any length. */
  leafHash(entry: Uint8Array): Uint8Array;

  /**
   * `SHA-256(0x01 || left || right)`, for two hashes of 32 bytes.
   *
   * @throws MerkleError BAD_HASH when either has another length
   */
  nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array;

  /**
   * The leaf hashes of N entries of exactly 32 bytes each, packed in (N * 32 bytes) and packed out (N * 32 bytes).
   *
   * @throws MerkleError BAD_HASH when the length is not a multiple of 32
   */
  leafHashes(packedEntries: Uint8Array): Uint8Array;

  /**
   * The parents of N pairs of neighbouring hashes, packed in (N * 64 bytes) and packed out (N * 32 bytes).
   *
   * @throws MerkleError BAD_HASH when the length is not a multiple of 64
   */
  nodeHashes(packedPairs: Uint8Array): Uint8Array;

  /**
   * The hash of a complete subtree from the hashes of its bottom row: `nodeHashes` again and again until one is left.
   *
   * @param packedHashes N * 32 bytes, N a power of two
   * @throws MerkleError BAD_HASH for any other N
   */
  subtreeHash(packedHashes: Uint8Array): Uint8Array;

  /**
   * The same from the entries below it: `subtreeHash(leafHashes(packedEntries))`.
   *
   * @param packedEntries N * 32 bytes, N a power of two
   * @throws MerkleError BAD_HASH for any other N
   */
  subtreeHashOfEntries(packedEntries: Uint8Array): Uint8Array;
}

/** First byte of a leaf's input: it keeps an entry from being passed off as a node (RFC 6962 section 2.1). */
export const LEAF_PREFIX = 0x00;

/** First byte of a node's input. */
export const NODE_PREFIX = 0x01;
