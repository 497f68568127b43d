// From an event to its leaf. A gateway computes it once, an auditor again: docs/gateway.md, "The digest of an event", has the
// same bytes for `sha256sum`.

import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { RecordError, writeCanonical } from '../record/index.ts';
import { VerificationError } from './error.ts';

/** First line of what a salted leaf is the hash of. No JSON begins like it, nor does an entry or a node of a Merkle tree. */
export const EVENT_COMMITMENT_TYPE = 'quartermaster.dev/event@v1';
/** Bytes. Guessing an event behind its leaf is then guessing 128 bits. */
export const SALT_SIZE = 16;

const UTF8 = new TextEncoder();

/**
 * The leaf of an event that was committed to with `commitEvent` of `quartermaster/gateway`, computed again.
 *
 * @param event plain JSON data; any spelling of it gives the same leaf
 * @param salt 16 bytes, kept beside the event
 * @returns 32 bytes, what {@link verifyReceipt} expects as `leaf`
 * @throws {VerificationError} BAD_EXPECTED: the event has no canonical form, or the salt is not 16 bytes
 * @example
 * ```ts
 * import { leafOf, verifyReceipt } from 'quartermaster/verify';
 *
 * const verdict = verifyReceipt(receipt, { leaf: leafOf(row.event, row.salt), anchorId: row.anchor_id }, { logKeys });
 * ```
 */
export function leafOf(event: object, salt: Uint8Array): Uint8Array {
  return leafOfCanonical(canonicalEvent(event), salt);
}

/**
 * The leaf of an event that needs no salt: SHA-256 of its canonical JSON, as `hashEvent` of `quartermaster/gateway` computes it.
 *
 * @returns 32 bytes
 * @throws {VerificationError} BAD_EXPECTED: the event has no canonical form
 */
export function hashEvent(event: object): Uint8Array {
  return sha256(UTF8.encode(canonicalEvent(event)));
}

/** The canonical JSON (RFC 8785) of an event. @throws {VerificationError} BAD_EXPECTED, naming the path */
export function canonicalEvent(event: object): string {
  if (typeof event !== 'object' || event === null) {
    throw new VerificationError('BAD_EXPECTED', 'event must be an object');
  }
  try {
    return writeCanonical(event, 'event');
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    throw new VerificationError('BAD_EXPECTED', error.message, error);
  }
}

/**
 * SHA-256 of a line that says what this is, the salt as a line of 32 hex digits, and the canonical JSON. The first two have a
 * fixed length, so that no other salt and event share these bytes.
 */
export function leafOfCanonical(canonical: string, salt: Uint8Array): Uint8Array {
  if (!(salt instanceof Uint8Array) || salt.length !== SALT_SIZE) {
    throw new VerificationError('BAD_EXPECTED', `salt must be ${SALT_SIZE} bytes`);
  }
  return sha256(UTF8.encode(`${EVENT_COMMITMENT_TYPE}\n${bytesToHex(salt)}\n${canonical}`));
}
