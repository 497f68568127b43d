// The mac on a stored head: whoever owns the database, but not the seed, cannot have a forged head extended or signed.

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { isSize } from './decimal.ts';
import { NoteError } from './error.ts';
import { checkOrigin } from './origin.ts';

const HASH_SIZE = 32;

export interface Head {
  /** 0 to 2^53-1 */
  readonly size: number;
  /** 32 bytes */
  readonly root: Uint8Array;
}

/** A head with what it was made from; `prev` is absent at genesis only. */
export interface HeadToMac extends Head {
  readonly origin: string;
  readonly prev?: Head;
}

/**
 * The bytes `quartermaster.dev/head@v1\norigin\nsize\nhex root\nprev_size\nhex prev_root\n`, with `-` for the last two at
 * genesis.
 *
 * @throws {NoteError} BAD_NAME, BAD_ARGUMENT
 */
export function headMacMessage({ origin, size, root, prev }: HeadToMac): Uint8Array {
  const previous = prev === undefined ? '-\n-' : headLines(prev);
  return new TextEncoder().encode(
    `quartermaster.dev/head@v1\n${checkOrigin(origin)}\n${headLines({ size, root })}\n${previous}\n`,
  );
}

function headLines({ size, root }: Head): string {
  if (!isSize(size)) throw new NoteError('BAD_ARGUMENT', `${size} is no size`);
  if (root.length !== HASH_SIZE)
    throw new NoteError('BAD_ARGUMENT', `a root has 32 bytes, not ${root.length}`);
  return `${size}\n${bytesToHex(root)}`;
}

/** HMAC-SHA-256 under the `head-mac` key (32 bytes). @throws {NoteError} BAD_ARGUMENT */
export function headMac(macKey: Uint8Array, message: Uint8Array): Uint8Array {
  if (macKey.length !== HASH_SIZE) {
    throw new NoteError('BAD_ARGUMENT', `a mac key has ${HASH_SIZE} bytes, not ${macKey.length}`);
  }
  return hmac(sha256, macKey, message);
}

/** Whether a mac is that of a message, in a time that does not depend on where they differ. @throws {NoteError} BAD_ARGUMENT */
export function verifyHeadMac(macKey: Uint8Array, message: Uint8Array, mac: Uint8Array): boolean {
  const expected = headMac(macKey, message);
  if (mac.length !== expected.length) return false;
  let difference = 0;
  for (let index = 0; index < expected.length; index++)
    difference |= (expected[index] ?? 0) ^ (mac[index] ?? 0);
  return difference === 0;
}
