import { equalHashes } from '../merkle/index.ts';
import { type ParsedRecord, parseRecord, RecordError } from '../record/index.ts';
import { NotaryError } from './error.ts';
import type { Entry } from './storage.ts';

type AnchorRecord = Extract<ParsedRecord, { kind: 'anchor' }>;

/**
 * The record of an anchor that was read back. Its columns repeat what it says and are what it was found by; only the record is
 * under the root, so that they must agree before anybody is told of them.
 *
 * @throws NotaryError LOG_CORRUPT
 */
export function readAnchorRecord(entry: Entry, clusterId: string): AnchorRecord {
  const record = parse(entry, clusterId);
  if (record.kind !== 'anchor') throw corrupt(entry, clusterId, 'the record is not that of an anchor');
  if (record.clusterId !== clusterId) throw corrupt(entry, clusterId, 'the record is of another cluster');
  const column = differingColumn(entry, record);
  if (column !== undefined) throw corrupt(entry, clusterId, `the column ${column} differs from the record`);
  return record;
}

/** The first column that says something else than the record, if any. */
export function differingColumn(entry: Entry, record: AnchorRecord): string | undefined {
  if (record.createdAtMs !== entry.createdAtMs) return 'created_at';
  if (record.anchorId !== entry.anchorId) return 'anchor_id';
  if (record.leafCount !== entry.leafCount) return 'leaf_count';
  if (record.requestId !== entry.requestId) return 'request_id';
  if (entry.root === undefined || !equalHashes(record.root, entry.root)) return 'root';
  return undefined;
}

function parse(entry: Entry, clusterId: string): ParsedRecord {
  try {
    return parseRecord(entry.record);
  } catch (error) {
    if (error instanceof RecordError)
      throw corrupt(entry, clusterId, 'the record was changed, it is none any more', error);
    throw error;
  }
}

function corrupt({ logIndex }: Entry, clusterId: string, what: string, cause?: unknown): NotaryError {
  return new NotaryError('LOG_CORRUPT', `entry ${logIndex} of cluster ${clusterId}: ${what}`, { cause });
}
