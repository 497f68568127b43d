/** Bytes of one hash, and of one block of SHA-256. */
export const HASH_SIZE = 32;
export const BLOCK_SIZE = 64;

/** Messages hashed at once in a row: one in each 32-bit lane of a vector. */
export const LANES = 4;

/** Where a row or a message begins. Not at 0: rows are read from one byte before it. */
export const INPUT = 64;

/** Bytes of the longest row or padded message. */
export const MAX_INPUT = 65_536;

/** Where hashes are written: after the input and the few bytes that are read behind it. */
export const OUTPUT = INPUT + MAX_INPUT + 64;

/** Memory for all of it, in WebAssembly pages of 64 KiB. */
export const PAGES = 3;

/** What the module exports. The caller writes the input to `memory` at INPUT and reads hashes at OUTPUT. */
export interface Sha256Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  /** `SHA-256(0x00 || entry)` of `4 * groups` entries of 32 bytes; at least one group. */
  leaves(groups: number): void;
  /** `SHA-256(0x01 || left || right)` of `4 * groups` pairs of 32 bytes; at least one group. */
  nodes(groups: number): void;
  /** SHA-256 of one message that is already padded to this number of blocks, at least one. */
  message(blocks: number): void;
}
