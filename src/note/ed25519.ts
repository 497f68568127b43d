// Ed25519 (RFC 8032) in portable code, for browsers and for whoever has no faster one at hand.

import { getPublicKey, hashes, sign, verify } from '@noble/ed25519';
import { sha512 } from '@noble/hashes/sha2.js';
import { NoteError } from './error.ts';

hashes.sha512 = sha512;

const SEED_SIZE = 32;
const SIGNATURE_SIZE = 64;
const PUBLIC_KEY_SIZE = 32;

/** Checks a signature; a port, so that a server can plug in a native implementation. */
export type Ed25519Verifier = (signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array) => boolean;

/** Signs with the RFC 8032 seed (32 bytes); deterministic; 64 bytes out. @throws {NoteError} BAD_ARGUMENT */
export function signEd25519(seed: Uint8Array, message: Uint8Array): Uint8Array {
  checkSeed(seed);
  return sign(message, seed);
}

/** The public key (32 bytes) of an RFC 8032 seed (32 bytes). @throws {NoteError} BAD_ARGUMENT */
export function publicKeyEd25519(seed: Uint8Array): Uint8Array {
  checkSeed(seed);
  return getPublicKey(seed);
}

/**
 * Whether a signature is valid, by the strict rules: canonical R, A and S, no public key of small order. The ZIP 215 rules,
 * which are this library's default, would accept signatures that Go and OpenSSL refuse.
 */
export function verifyEd25519(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_SIZE || publicKey.length !== PUBLIC_KEY_SIZE) return false;
  return verify(signature, message, publicKey, { zip215: false });
}

function checkSeed(seed: Uint8Array): void {
  if (seed.length !== SEED_SIZE) {
    throw new NoteError('BAD_ARGUMENT', `an Ed25519 seed has ${SEED_SIZE} bytes, not ${seed.length}`);
  }
}
