// The anchor record: what the log's entry says of one batch. It alone is authenticated, so everything is in it.

import { checkSize, type JsonValue, takeField } from './canonical-json.ts';
import {
  checkText,
  checkUuid,
  formatHash,
  formatInt64,
  formatInteger,
  formatTime,
  MAX_LEAF_COUNT,
  MAX_SUBMITTER_BYTES,
  parseHash,
  parseInt64,
  parseInteger,
  parseTime,
} from './field.ts';

export const ANCHOR_RECORD_TYPE = 'quartermaster.dev/anchor@v1';

export interface AnchorRecord {
  /** lower-case UUID */
  readonly anchorId: string;
  /** lower-case UUID */
  readonly clusterId: string;
  /** 1 to 4,194,304 */
  readonly leafCount: number;
  /** 32 bytes: the root of the batch's tree */
  readonly root: Uint8Array;
  /** 0 to 2^63-1 */
  readonly etcdRevision: bigint;
  /** lower-case UUID */
  readonly requestId?: string;
  /** 1 to 256 bytes of UTF-8 */
  readonly submitter?: string;
  /** milliseconds since the epoch: the notary's claim */
  readonly createdAtMs: number;
}

const UTF8 = new TextEncoder();

/**
 * Writes an anchor record: canonical JSON (RFC 8785), UTF-8. Every anchor passes through here, so the text is built directly,
 * its names in the order of RFC 8785 section 3.2.3; a test compares it with the general canonicalizer.
 *
 * @returns at most 2,048 bytes
 * @throws {RecordError} BAD_FIELD, TOO_LARGE
 */
export function formatAnchorRecord(record: AnchorRecord): Uint8Array {
  const requestId =
    record.requestId === undefined ? '' : `"request_id":"${checkUuid('request_id', record.requestId)}",`;
  // JSON.stringify of a well-formed string is RFC 8785's own definition (section 3.2.2.2).
  const submitter =
    record.submitter === undefined
      ? ''
      : `"submitter":${JSON.stringify(checkText('submitter', record.submitter, 1, MAX_SUBMITTER_BYTES))},`;
  const bytes = UTF8.encode(
    `{"anchor_id":"${checkUuid('anchor_id', record.anchorId)}",` +
      `"cluster_id":"${checkUuid('cluster_id', record.clusterId)}",` +
      `"created_at":"${formatTime('created_at', record.createdAtMs)}",` +
      `"etcd_revision":"${formatInt64('etcd_revision', record.etcdRevision)}",` +
      `"leaf_count":"${formatInteger('leaf_count', record.leafCount, 1, MAX_LEAF_COUNT)}",` +
      `${requestId}"root":"${formatHash('root', record.root)}",${submitter}"type":"${ANCHOR_RECORD_TYPE}"}`,
  );
  checkSize(bytes.length);
  return bytes;
}

/** Takes the known fields out of `fields`, so that the unknown ones remain. @throws {RecordError} BAD_FIELD */
export function takeAnchorRecord(fields: Map<string, JsonValue>): AnchorRecord {
  const take = (name: string) => takeField(fields, name);
  const requestId = take('request_id');
  const submitter = take('submitter');
  return {
    anchorId: checkUuid('anchor_id', take('anchor_id')),
    clusterId: checkUuid('cluster_id', take('cluster_id')),
    leafCount: parseInteger('leaf_count', take('leaf_count'), 1, MAX_LEAF_COUNT),
    root: parseHash('root', take('root')),
    etcdRevision: parseInt64('etcd_revision', take('etcd_revision')),
    ...(requestId === undefined ? {} : { requestId: checkUuid('request_id', requestId) }),
    ...(submitter === undefined
      ? {}
      : { submitter: checkText('submitter', submitter, 1, MAX_SUBMITTER_BYTES) }),
    createdAtMs: parseTime('created_at', take('created_at')),
  };
}
