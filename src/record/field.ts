// The spellings of a record's fields. JSON numbers are doubles, so integers are decimal strings; each value has one spelling.

import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { badField } from './error.ts';

export const MAX_LEAF_COUNT = 4_194_304;
export const MAX_SUBMITTER_BYTES = 256;
const MAX_INT64 = 2n ** 63n - 1n;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const DECIMAL = /^(?:0|[1-9][0-9]{0,18})$/;
const HASH = /^[0-9a-f]{64}$/;
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/;
const MAX_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
// Not Date.UTC: it takes a year 0 for 1900.
const MIN_TIME_MS = Date.parse('0000-01-01T00:00:00.000Z');

const UTF8 = new TextEncoder();

/** A UUID in lower case, 8-4-4-4-12. */
export function checkUuid(field: string, value: unknown): string {
  if (typeof value !== 'string' || !UUID.test(value)) throw badField(field, 'a lower-case UUID');
  return value;
}

/** A hash of 32 bytes as 64 lower-case hex digits. */
export function formatHash(field: string, value: Uint8Array): string {
  if (value.length !== 32) throw badField(field, '32 bytes');
  return bytesToHex(value);
}

export function parseHash(field: string, value: unknown): Uint8Array {
  if (typeof value !== 'string' || !HASH.test(value)) throw badField(field, '64 lower-case hex digits');
  return hexToBytes(value);
}

/** An integer from 0 to 2^63-1, the range of the wire's int64. */
export function formatInt64(field: string, value: bigint): string {
  if (typeof value !== 'bigint' || value < 0n || value > MAX_INT64) throw badField(field, 'from 0 to 2^63-1');
  return value.toString();
}

export function parseInt64(field: string, value: unknown): bigint {
  const mustBe = 'a decimal string from 0 to 2^63-1 without leading zeros';
  if (typeof value !== 'string' || !DECIMAL.test(value)) throw badField(field, mustBe);
  const integer = BigInt(value);
  if (integer > MAX_INT64) throw badField(field, mustBe);
  return integer;
}

/** An integer from `least` to `most`, both safe. */
export function formatInteger(field: string, value: number, least: number, most: number): string {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw badField(field, `from ${least} to ${most}`);
  return value.toString();
}

export function parseInteger(field: string, value: unknown, least: number, most: number): number {
  const integer = parseInt64(field, value);
  if (integer < BigInt(least) || integer > BigInt(most)) throw badField(field, `from ${least} to ${most}`);
  return Number(integer);
}

/** RFC 3339 in UTC with exactly 3 decimals, years 0000 to 9999; `value` in milliseconds since the epoch. */
export function formatTime(field: string, value: number): string {
  if (!Number.isInteger(value) || value < MIN_TIME_MS || value > MAX_TIME_MS) {
    throw badField(field, 'whole milliseconds in the years 0000 to 9999');
  }
  return new Date(value).toISOString();
}

export function parseTime(field: string, value: unknown): number {
  const time = typeof value === 'string' && TIME.test(value) ? Date.parse(value) : Number.NaN;
  // Date.parse takes 24:00 and rolls 30 February over; neither is written that way again.
  if (Number.isNaN(time) || new Date(time).toISOString() !== value) {
    throw badField(field, 'an RFC 3339 time in UTC with 3 decimals, such as 2025-01-31T23:59:59.000Z');
  }
  return time;
}

/** Text of a bounded number of bytes in UTF-8, without lone surrogates. */
export function checkText(field: string, value: unknown, leastBytes: number, mostBytes: number): string {
  const mustBe = `text of ${leastBytes} to ${mostBytes} bytes of UTF-8`;
  // The length in code units is never above that in bytes, so a huge text is not even encoded.
  if (typeof value !== 'string' || value.length > mostBytes || !value.isWellFormed())
    throw badField(field, mustBe);
  const size = UTF8.encode(value).length;
  if (size < leastBytes || size > mostBytes) throw badField(field, mustBe);
  return value;
}
