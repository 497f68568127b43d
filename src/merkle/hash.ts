import { MerkleError } from './error.ts';

/** Bytes of one SHA-256 hash. */
export const HASH_SIZE = 32;

/**
 * Root of the tree without leaves: SHA-256 of nothing (RFC 6962 section 2.1).
 * Stated rather than computed, so that a test can compare it with every hasher.
 */
export const EMPTY_ROOT: Uint8Array = Uint8Array.of(
  ...[0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24],
  ...[0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55],
);

/**
 * Refuses anything that is not 32 bytes. Path elements and roots come from whoever wants to be believed: a longer
 * "hash" would move the boundary between the halves of a node's input, and with it the meaning of the node.
 *
 * @param name what the value is, for the message
 * @throws MerkleError BAD_HASH
 */
export function checkHash(hash: Uint8Array, name: string): void {
  // Not instanceof: a Uint8Array of another realm (a worker, a test's sandbox) is as good.
  if (ArrayBuffer.isView(hash) && hash.BYTES_PER_ELEMENT === 1 && hash.length === HASH_SIZE) return;
  throw new MerkleError('BAD_HASH', `${name} must be ${HASH_SIZE} bytes, not ${describe(hash)}`);
}

/**
 * The number of hashes in a packed row.
 *
 * @throws MerkleError BAD_HASH when the length is not a multiple of 32
 */
export function countHashes(packed: Uint8Array, name: string): number {
  const count = packed.length / HASH_SIZE;
  if (Number.isInteger(count)) return count;
  throw new MerkleError(
    'BAD_HASH',
    `${name} must be a multiple of ${HASH_SIZE} bytes, not ${describe(packed)}`,
  );
}

/** Whether two hashes are equal. Roots are public, so the time this takes may depend on them. */
export function equalHashes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function describe(value: Uint8Array): string {
  return ArrayBuffer.isView(value) ? `${value.byteLength}` : typeof value;
}
