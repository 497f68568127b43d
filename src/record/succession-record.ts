// The succession record: the first entry of the log that goes on after a sealed one.

import { checkOrigin, NoteError } from '../note/index.ts';
import { checkSize, type JsonValue, takeField } from './canonical-json.ts';
import { badField } from './error.ts';
import {
  checkText,
  checkUuid,
  formatHash,
  formatInteger,
  formatTime,
  parseHash,
  parseInteger,
  parseTime,
} from './field.ts';

export const SUCCESSION_RECORD_TYPE = 'quartermaster.dev/succession@v1';
export const MAX_REASON_BYTES = 256;

export interface SuccessionRecord {
  /** lower-case UUID: the successor, whose log holds this record */
  readonly clusterId: string;
  /** lower-case UUID: the sealed cluster */
  readonly predecessorId: string;
  readonly predecessorOrigin: string;
  /** 0 to 2^53-1: the size of the last head that the sealed log stands by */
  readonly predecessorSize: number;
  /** 32 bytes */
  readonly predecessorRoot: Uint8Array;
  /** up to 256 bytes of UTF-8, possibly empty */
  readonly reason: string;
  /** milliseconds since the epoch */
  readonly createdAtMs: number;
}

/**
 * Writes a succession record: canonical JSON (RFC 8785), UTF-8, at most 2,048 bytes.
 *
 * @throws {RecordError} BAD_FIELD, TOO_LARGE
 */
export function formatSuccessionRecord(record: SuccessionRecord): Uint8Array {
  const size = formatInteger('predecessor_size', record.predecessorSize, 0, Number.MAX_SAFE_INTEGER);
  const origin = checkPredecessorOrigin(record.predecessorOrigin);
  const bytes = new TextEncoder().encode(
    `{"cluster_id":"${checkUuid('cluster_id', record.clusterId)}",` +
      `"created_at":"${formatTime('created_at', record.createdAtMs)}",` +
      `"predecessor_id":"${checkUuid('predecessor_id', record.predecessorId)}",` +
      `"predecessor_origin":${JSON.stringify(origin)},` +
      `"predecessor_root":"${formatHash('predecessor_root', record.predecessorRoot)}",` +
      `"predecessor_size":"${size}",` +
      `"reason":${JSON.stringify(checkText('reason', record.reason, 0, MAX_REASON_BYTES))},` +
      `"type":"${SUCCESSION_RECORD_TYPE}"}`,
  );
  checkSize(bytes.length);
  return bytes;
}

/** Takes the known fields out of `fields`, so that the unknown ones remain. @throws {RecordError} BAD_FIELD */
export function takeSuccessionRecord(fields: Map<string, JsonValue>): SuccessionRecord {
  const take = (name: string) => takeField(fields, name);
  return {
    clusterId: checkUuid('cluster_id', take('cluster_id')),
    predecessorId: checkUuid('predecessor_id', take('predecessor_id')),
    predecessorOrigin: checkPredecessorOrigin(take('predecessor_origin')),
    predecessorSize: parseInteger('predecessor_size', take('predecessor_size'), 0, Number.MAX_SAFE_INTEGER),
    predecessorRoot: parseHash('predecessor_root', take('predecessor_root')),
    reason: checkText('reason', take('reason'), 0, MAX_REASON_BYTES),
    createdAtMs: parseTime('created_at', take('created_at')),
  };
}

function checkPredecessorOrigin(origin: unknown): string {
  if (typeof origin !== 'string') throw badField('predecessor_origin', 'an origin');
  try {
    return checkOrigin(origin);
  } catch (error) {
    if (error instanceof NoteError)
      throw badField('predecessor_origin', 'an origin of at most 255 bytes', error);
    throw error;
  }
}
