// Verifier keys, `name+hex(keyId)+base64(type || publicKey)`, c2sp.org/signed-note.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes } from '@noble/hashes/utils.js';
import { equalHashes } from '../merkle/index.ts';
import { decodeBase64, encodeBase64 } from './base64.ts';
import { NoteError } from './error.ts';
import { KEY_ID_SIZE } from './note.ts';
import { isKeyName } from './origin.ts';

/** Ed25519 over the note text. */
export const ED25519 = 0x01;
/** A witness's timestamped Ed25519 cosignature (c2sp.org/tlog-cosignature). */
export const COSIGNATURE_V1 = 0x04;
/** A timestamped ML-DSA-44 cosignature (c2sp.org/tlog-cosignature). */
export const ML_DSA_44 = 0x06;

const PUBLIC_KEY_SIZE: ReadonlyMap<number, number> = new Map([
  [ED25519, 32],
  [COSIGNATURE_V1, 32],
  [ML_DSA_44, 1312],
]);

/** The longest sensible vkey is an ML-DSA-44 key under a long name; what is longer is not read. */
const MAX_VKEY_LENGTH = 4096;

export interface VerifierKey {
  readonly name: string;
  /** 4 bytes */
  readonly keyId: Uint8Array;
  /** the signature type byte: {@link ED25519}, {@link COSIGNATURE_V1} or {@link ML_DSA_44} */
  readonly type: number;
  readonly publicKey: Uint8Array;
}

/**
 * The first 4 bytes of SHA-256(name || 0x0A || type || public key).
 *
 * @throws {NoteError} BAD_NAME, UNKNOWN_KEY_TYPE (no byte)
 */
export function keyId(name: string, type: number, publicKey: Uint8Array): Uint8Array {
  if (!isKeyName(name)) throw new NoteError('BAD_NAME', `${JSON.stringify(name)} cannot name a key`);
  if (!Number.isInteger(type) || type < 0 || type > 0xff) {
    throw new NoteError('UNKNOWN_KEY_TYPE', `a signature type is one byte, not ${type}`);
  }
  const preimage = concatBytes(new TextEncoder().encode(`${name}\n`), Uint8Array.of(type), publicKey);
  return sha256(preimage).slice(0, KEY_ID_SIZE);
}

/** The Ed25519 verifier key of a name, with its key ID computed. @throws {NoteError} BAD_NAME, MALFORMED_VKEY */
export function ed25519Vkey(name: string, publicKey: Uint8Array): VerifierKey {
  checkKeySize(ED25519, publicKey);
  return { name, keyId: keyId(name, ED25519, publicKey), type: ED25519, publicKey };
}

/**
 * Reads a verifier key and checks that its key ID belongs to it. Only the canonical spelling is taken: lower-case hex, padded
 * base64.
 *
 * @example
 * ```ts
 * const key = parseVkey('PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW');
 * ```
 * @throws {NoteError} TOO_LARGE, MALFORMED_VKEY, UNKNOWN_KEY_TYPE, KEY_ID_MISMATCH
 */
export function parseVkey(vkey: string): VerifierKey {
  if (vkey.length > MAX_VKEY_LENGTH) {
    throw new NoteError('TOO_LARGE', `a verifier key has at most ${MAX_VKEY_LENGTH} characters`);
  }
  // Base64 may hold "+", so only the first two separate.
  const afterName = vkey.indexOf('+');
  const afterId = vkey.indexOf('+', afterName + 1);
  const name = vkey.slice(0, afterName);
  const id = vkey.slice(afterName + 1, afterId);
  const encoded = vkey.slice(afterId + 1);
  const bytes = decodeBase64(encoded);
  if (
    afterName === -1 ||
    afterId === -1 ||
    !isKeyName(name) ||
    !/^[0-9a-f]{8}$/.test(id) ||
    bytes === undefined
  ) {
    throw new NoteError(
      'MALFORMED_VKEY',
      'a verifier key is name+keyID+key: 8 lower-case hex digits, canonical base64',
    );
  }
  const [type] = bytes;
  if (type === undefined) throw new NoteError('MALFORMED_VKEY', 'the verifier key holds no key');
  const publicKey = bytes.slice(1);
  checkKeySize(type, publicKey);
  const computed = keyId(name, type, publicKey);
  if (bytesToHex(computed) !== id) {
    throw new NoteError(
      'KEY_ID_MISMATCH',
      `the key ID ${id} is not that of this name and key, ${bytesToHex(computed)}`,
    );
  }
  return { name, keyId: computed, type, publicKey };
}

/**
 * Writes a verifier key; the inverse of {@link parseVkey}.
 *
 * @throws {NoteError} BAD_NAME, MALFORMED_VKEY, UNKNOWN_KEY_TYPE, KEY_ID_MISMATCH
 */
export function formatVkey(key: VerifierKey): string {
  checkKeySize(key.type, key.publicKey);
  const computed = keyId(key.name, key.type, key.publicKey);
  if (!equalHashes(computed, key.keyId)) {
    throw new NoteError(
      'KEY_ID_MISMATCH',
      `the key ID ${bytesToHex(key.keyId)} is not that of this name and key`,
    );
  }
  return `${key.name}+${bytesToHex(computed)}+${encodeBase64(concatBytes(Uint8Array.of(key.type), key.publicKey))}`;
}

function checkKeySize(type: number, publicKey: Uint8Array): void {
  const size = PUBLIC_KEY_SIZE.get(type);
  if (size === undefined) throw new NoteError('UNKNOWN_KEY_TYPE', `signature type ${type} is not known here`);
  if (publicKey.length !== size) {
    throw new NoteError(
      'MALFORMED_VKEY',
      `a public key of type ${type} has ${size} bytes, not ${publicKey.length}`,
    );
  }
}
