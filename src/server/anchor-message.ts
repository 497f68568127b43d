import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { AnchorSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { NotaryError } from '../notary/error.ts';
import type { EntryOfCluster } from '../notary/storage.ts';
import type { ParsedRecord } from '../record/index.ts';
import { parseRecord } from '../record/index.ts';

/**
 * A log entry as the message Anchor: a reading of its record, nothing else. Undefined for an entry without leaves.
 *
 * @throws {NotaryError} LOG_CORRUPT where the stored bytes are no record
 */
export function anchorMessage(entry: EntryOfCluster): MessageInitShape<typeof AnchorSchema> | undefined {
  const record = readRecord(entry);
  if (record.kind !== 'anchor') return undefined;
  return {
    anchorId: record.anchorId,
    clusterId: record.clusterId,
    logIndex: BigInt(entry.logIndex),
    leafCount: record.leafCount,
    root: record.root,
    etcdRevision: record.etcdRevision,
    requestId: record.requestId ?? '',
    submitter: record.submitter ?? '',
    createTime: timestampFromMs(record.createdAtMs),
    record: entry.record,
  };
}

function readRecord({ record, clusterId, logIndex }: EntryOfCluster): ParsedRecord {
  try {
    return parseRecord(record);
  } catch (cause) {
    throw new NotaryError('LOG_CORRUPT', `entry ${logIndex} of cluster ${clusterId} is not a record`, {
      cause,
    });
  }
}
