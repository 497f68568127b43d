// RFC 8785 (JSON Canonicalization Scheme): one spelling for each record, so that its hash names its content.

import canonicalize from 'canonicalize';
import { RecordError } from './error.ts';

/** A record is read whole, hashed and shown; 2 KiB also bounds what hostile JSON can nest. */
export const MAX_RECORD_BYTES = 2048;

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/**
 * Reads a canonical JSON object. The bytes are parsed, written again canonically and compared, which refuses duplicate
 * keys, lone surrogates, white space, other orders of the keys, and other spellings of numbers and escapes.
 *
 * @returns its members by name; a map, because a hostile record may call one `__proto__`.
 * @throws {RecordError} TOO_LARGE, NOT_UTF8, NOT_JSON, NOT_AN_OBJECT, NOT_CANONICAL
 */
export function parseCanonicalObject(bytes: Uint8Array): Map<string, JsonValue> {
  checkSize(bytes.length);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new RecordError('NOT_UTF8', 'the record is not valid UTF-8', { cause });
  }
  let value: JsonValue;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new RecordError('NOT_JSON', 'the record is not JSON', { cause });
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new RecordError('NOT_AN_OBJECT', 'the record is JSON, but no object');
  }
  let canonical: string | undefined;
  try {
    canonical = canonicalize(value);
  } catch (cause) {
    throw new RecordError('NOT_CANONICAL', 'the record has no canonical form (RFC 8785)', { cause });
  }
  if (canonical !== text)
    throw new RecordError('NOT_CANONICAL', 'the record is not in canonical form (RFC 8785)');
  return new Map(Object.entries(value));
}

/** Removes a member and returns its value, so that what is left over are the members nobody knew. */
export function takeField(fields: Map<string, JsonValue>, name: string): JsonValue | undefined {
  const value = fields.get(name);
  fields.delete(name);
  return value;
}

/** @throws {RecordError} TOO_LARGE */
export function checkSize(bytes: number): void {
  if (bytes > MAX_RECORD_BYTES) {
    throw new RecordError(
      'TOO_LARGE',
      `a record of ${bytes} bytes is above the limit of ${MAX_RECORD_BYTES}`,
    );
  }
}
