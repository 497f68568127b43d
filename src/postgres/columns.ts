// What the columns' constraints say, said again of every row that is read: whoever owns the tables can drop constraints, and
// what comes from here is trusted inside.

import { type ClusterState, StorageError } from '../notary/storage.ts';
import { checkOrigin, isSize, NoteError } from '../note/index.ts';
import { MAX_LEAF_COUNT, MAX_RECORD_BYTES } from '../record/index.ts';

const HASH_BYTES = 32;
const MAX_EPOCH = 2 ** 31 - 1;
/** The years that a record's created_at can name. */
const MIN_TIME_MS = Date.parse('0000-01-01T00:00:00.000Z');
const MAX_TIME_MS = Date.parse('9999-12-31T23:59:59.999Z');

const STATES: ReadonlySet<unknown> = new Set<ClusterState>(['active', 'frozen', 'recovering', 'sealed']);

export function checkState(state: ClusterState): ClusterState {
  return STATES.has(state) ? state : refuse('state', 'none of the states');
}

export function checkOriginColumn(origin: string): string {
  try {
    return checkOrigin(origin ?? '');
  } catch (error) {
    if (error instanceof NoteError) return refuse('origin', 'no origin');
    throw error;
  }
}

export function checkSizeColumn(column: string, size: number): number {
  return isSize(size) ? size : refuse(column, 'no size');
}

export function checkLeafCount(count: number): number {
  return isSize(count) && count <= MAX_LEAF_COUNT ? count : refuse('leaf_count', 'no leaf count');
}

export function checkEpoch(epoch: number): number {
  return isSize(epoch) && epoch >= 1 && epoch <= MAX_EPOCH ? epoch : refuse('epoch', 'no epoch');
}

export function checkHashColumn(column: string, hash: Uint8Array): Uint8Array {
  return hash?.length === HASH_BYTES ? hash : refuse(column, 'not 32 bytes');
}

export function checkRecord(record: Uint8Array): Uint8Array {
  const isRecord = record?.length > 0 && record.length <= MAX_RECORD_BYTES;
  return isRecord ? record : refuse('record', `not 1 to ${MAX_RECORD_BYTES} bytes`);
}

export function checkTimeMs(timeMs: number): number {
  const isTime = Number.isSafeInteger(timeMs) && timeMs >= MIN_TIME_MS && timeMs <= MAX_TIME_MS;
  return isTime ? timeMs : refuse('created_at', 'no time of the years 0000 to 9999');
}

function refuse(column: string, what: string): never {
  throw new StorageError('CORRUPT', `a stored ${column} is ${what}`);
}
