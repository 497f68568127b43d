// One master seed, many keys. Each cluster has its own, because trust policies forbid one public key under two names and so
// that a copy of a log under another origin has other keys.

import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { NoteError } from './error.ts';
import { checkOrigin } from './origin.ts';

export const MASTER_SEED_SIZE = 32;
const KEY_SIZE = 32;
const SEED_ID_SIZE = 8;
const SALT = new TextEncoder().encode('quartermaster/v1');

export type KeyPurpose = 'log-ed25519' | 'head-mac';

/**
 * Derives a key of one cluster: HKDF-SHA-256 (RFC 5869) of the master seed, salt `quartermaster/v1`, info
 * `purpose\norigin\nepoch`.
 *
 * @param masterSeed 32 bytes
 * @param epoch from 1; a rotation takes the next
 * @returns 32 bytes; for `log-ed25519` the RFC 8032 seed
 * @throws {NoteError} BAD_ARGUMENT, BAD_NAME
 */
export function deriveKey(
  masterSeed: Uint8Array,
  purpose: KeyPurpose,
  origin: string,
  epoch: number,
): Uint8Array {
  if (!Number.isSafeInteger(epoch) || epoch < 1) {
    throw new NoteError('BAD_ARGUMENT', `an epoch is an integer from 1, not ${epoch}`);
  }
  return expand(masterSeed, `${purpose}\n${checkOrigin(origin)}\n${epoch}`, KEY_SIZE);
}

/**
 * Names a master seed without revealing it: the first 8 bytes, in hex, of its HKDF with the purpose `seed-id`, an empty
 * origin and epoch 0, which no key can have.
 *
 * @throws {NoteError} BAD_ARGUMENT
 */
export function seedId(masterSeed: Uint8Array): string {
  return bytesToHex(expand(masterSeed, 'seed-id\n\n0', KEY_SIZE).subarray(0, SEED_ID_SIZE));
}

function expand(masterSeed: Uint8Array, info: string, size: number): Uint8Array {
  if (masterSeed.length !== MASTER_SEED_SIZE) {
    throw new NoteError(
      'BAD_ARGUMENT',
      `a master seed has ${MASTER_SEED_SIZE} bytes, not ${masterSeed.length}`,
    );
  }
  return hkdf(sha256, masterSeed, SALT, new TextEncoder().encode(info), size);
}
