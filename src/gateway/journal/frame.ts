// How records stand in a segment, one frame each:
//
//   crc32 (4) | kind (1) | length of the body (3) | check of kind and length (2) | body
//
// CRC-32 finds every error of up to 32 neighbouring bits, which is what disks and memory do; whoever can write the files could
// as well write a new hash, so a cryptographic one would cost more and keep nobody out. Both checks begin from the salt of the
// segment and the frame's own position in it. So a frame counts in one place only, and bytes that a stranger chose (an event
// id) cannot pass for a frame when a damaged segment is searched for the next sound one.

import { crc32 } from 'node:zlib';

export const FRAME_HEADER_BYTES = 10;
/** the length has 24 bits */
export const MAX_BODY_BYTES = 0xff_ffff;

const CHECKED_FROM = 4;
const KIND_AT = 4;
const CHECK_AT = 8;

/** Kinds of records. Far from 0, which is what unwritten blocks of a file hold. */
export const KIND = {
  leaf: 0xc1,
  leafWithEventId: 0xc2,
  sealed: 0xc3,
  settled: 0xc4,
  split: 0xc5,
  buried: 0xc6,
  revived: 0xc7,
  checkpoint: 0xc8,
} as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

const LOWEST_KIND = KIND.leaf;
const HIGHEST_KIND = KIND.checkpoint;

/** Writes kind and length; the checks follow in {@link stampFrames}, when it is known where the frame will stand. */
export function beginFrame(bytes: Buffer, at: number, kind: Kind, bodyBytes: number): void {
  bytes.writeUInt32BE(((kind << 24) | bodyBytes) >>> 0, at + KIND_AT);
}

export function frameBytesAt(bytes: Buffer, at: number): number {
  return FRAME_HEADER_BYTES + (bytes.readUInt32BE(at + KIND_AT) & MAX_BODY_BYTES);
}

export function kindAt(bytes: Buffer, at: number): Kind {
  return bytes[at + KIND_AT] as Kind;
}

/**
 * Gives all frames their checks.
 *
 * @param position of the first byte in the segment
 */
export function stampFrames(bytes: Buffer, length: number, salt: number, position: number): void {
  for (let at = 0; at < length; ) {
    const end = at + frameBytesAt(bytes, at);
    const seed = seedOf(salt, position + at);
    bytes.writeUInt16BE(headerCheck(bytes.readUInt32BE(at + KIND_AT), seed), at + CHECK_AT);
    bytes.writeUInt32BE(crc32(bytes.subarray(at + CHECKED_FROM, end), seed), at);
    at = end;
  }
}

/**
 * The size of the frame that begins here, judged by its header alone. The header has a check of its own so that a length that
 * was damaged is not believed: it tells a frame that was cut off from one that was changed, and a search does not stumble from
 * one random length to the next.
 *
 * @returns undefined where none begins
 */
export function frameBytesIfAny(
  bytes: Buffer,
  at: number,
  salt: number,
  position: number,
): number | undefined {
  const kind = bytes[at + KIND_AT] ?? 0;
  if (kind < LOWEST_KIND || kind > HIGHEST_KIND) return undefined;
  const word = bytes.readUInt32BE(at + KIND_AT);
  if (bytes.readUInt16BE(at + CHECK_AT) !== headerCheck(word, seedOf(salt, position))) return undefined;
  return FRAME_HEADER_BYTES + (word & MAX_BODY_BYTES);
}

/** @param frameBytes as {@link frameBytesIfAny} said; all of them are there */
export function isSound(
  bytes: Buffer,
  at: number,
  frameBytes: number,
  salt: number,
  position: number,
): boolean {
  const checked = bytes.subarray(at + CHECKED_FROM, at + frameBytes);
  return crc32(checked, seedOf(salt, position)) === bytes.readUInt32BE(at);
}

function seedOf(salt: number, position: number): number {
  return (salt + position) >>> 0;
}

function headerCheck(word: number, seed: number): number {
  let mixed = Math.imul(word ^ seed, 0x9e37_79b1);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85eb_ca77);
  return (mixed ^ (mixed >>> 13)) & 0xffff;
}
