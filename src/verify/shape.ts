// Receipts and answers come from a server that is not believed, often through somebody else's JSON: the types are a claim.

/** More than any path in a tree of 2^53-1 entries; bounds the work before lengths are checked exactly. */
const MAX_PATH_LENGTH = 64;
const HASH_SIZE = 32;

/** Not instanceof: bytes of another realm (a worker, a frame) are as good. */
export function isBytes(value: unknown): value is Uint8Array {
  return Object.prototype.toString.call(value) === '[object Uint8Array]';
}

/** One hash: 32 bytes. */
export function isHash(value: unknown): value is Uint8Array {
  return isBytes(value) && value.length === HASH_SIZE;
}

/** A path: an array of hashes, of any length that some tree has. */
export function isPath(value: unknown): value is readonly Uint8Array[] {
  // findIndex, unlike every, also visits the holes of a sparse array.
  return (
    Array.isArray(value) && value.length <= MAX_PATH_LENGTH && value.findIndex((hash) => !isHash(hash)) === -1
  );
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The lower-case form of a UUID that was written in any case, or `undefined`. */
export function lowerCaseUuid(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const lowered = value.toLowerCase();
  return UUID.test(lowered) ? lowered : undefined;
}
