import { MerkleError, type TreeHasher, verifyInclusion } from '../merkle/index.ts';
import { type ParsedRecord, parseRecord, RecordError } from '../record/index.ts';
import type { ReadCheckpoint } from './checkpoint.ts';
import { VerificationError } from './error.ts';

export type ParsedAnchorRecord = Extract<ParsedRecord, { kind: 'anchor' }>;

/**
 * Reads a log entry that must be an anchor record of the checkpoint's own cluster: the origin ends in its id, so that a
 * record cannot be shown under another tenant's log.
 *
 * @throws {VerificationError} BAD_RECORD, CLUSTER_MISMATCH
 */
export function openAnchorRecord(record: Uint8Array, { origin }: ReadCheckpoint): ParsedAnchorRecord {
  let parsed: ParsedRecord;
  try {
    parsed = parseRecord(record);
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    throw new VerificationError('BAD_RECORD', error.message, error);
  }
  if (parsed.kind !== 'anchor') {
    throw new VerificationError('BAD_RECORD', 'this log entry is no anchor record, so it has no leaves');
  }
  if (!origin.endsWith(`/${parsed.clusterId}`)) {
    throw new VerificationError(
      'CLUSTER_MISMATCH',
      `the log ${origin} is not that of cluster ${parsed.clusterId}`,
    );
  }
  return parsed;
}

export interface LogEntry {
  /** the bytes as given: they are what the log hashed */
  readonly record: Uint8Array;
  readonly logIndex: number;
  readonly recordPath: readonly Uint8Array[];
}

/** Verifies that an entry is in the checkpoint's log. @throws {VerificationError} LOG_INDEX_OUT_OF_RANGE, RECORD_PATH */
export function verifyLogEntry(
  { record, logIndex, recordPath }: LogEntry,
  { size, root }: ReadCheckpoint,
  hasher: TreeHasher,
): void {
  if (logIndex >= size) {
    throw new VerificationError(
      'LOG_INDEX_OUT_OF_RANGE',
      `entry ${logIndex} is not in a log of ${size} entries`,
    );
  }
  try {
    verifyInclusion(hasher, {
      leafHash: hasher.leafHash(record),
      index: logIndex,
      size,
      path: recordPath,
      root,
    });
  } catch (error) {
    if (!(error instanceof MerkleError)) throw error;
    throw new VerificationError(
      'RECORD_PATH',
      `the record is not shown to be in the log: ${error.message}`,
      error,
    );
  }
}
