// One call in a file: a line of JSON with its checksum, then the leaves.

import { crc32 } from 'node:zlib';
import { type CallContent, contentKey } from './content-key.ts';
import { AgentError } from './error.ts';

/** A CreateAnchor call as it waits on disk. Nothing of it ever changes, so that each try is the same anchor. */
export interface SpooledCall extends CallContent {
  /** UUID in lower case: the caller's own, or the agent's */
  readonly requestId: string;
  /** as the caller gave it; empty for none */
  readonly knownCheckpoint: string;
}

/** All but the leaves. */
export interface CallHeader extends Omit<SpooledCall, 'packedLeaves'> {
  readonly contentKey: string;
  readonly leafCount: number;
  /** The newest call before it that it must not overtake; 0 for none. */
  readonly after: number;
  /** milliseconds since the epoch */
  readonly takenAtMs: number;
}

/** A checkpoint has 4 KiB at most, and escaped in JSON twice that. */
export const MAX_HEADER_BYTES = 16 * 1024;
const LEAF_BYTES = 32;
const FORMAT = 'quartermaster.dev/spooled-call@v1';

/** `crc32 {json}\n`, to be followed by the leaves. */
export function encodeHeader(header: CallHeader): Buffer {
  const json = JSON.stringify({
    format: FORMAT,
    cluster_id: header.clusterId,
    etcd_revision: String(header.etcdRevision),
    request_id: header.requestId,
    given_request_id: header.givenRequestId ?? null,
    known_checkpoint: header.knownCheckpoint,
    content_key: header.contentKey,
    leaf_count: header.leafCount,
    after: header.after,
    taken_at_ms: header.takenAtMs,
  });
  return Buffer.from(`${checksum(json)} ${json}\n`);
}

/**
 * Reads what {@link encodeHeader} wrote.
 *
 * @param beginning of a file, as much as {@link MAX_HEADER_BYTES} of it
 * @throws {AgentError} SPOOL_DAMAGED
 */
export function decodeHeader(beginning: Buffer): {
  readonly header: CallHeader;
  readonly byteLength: number;
} {
  const end = beginning.indexOf('\n');
  const text = end === -1 ? '' : beginning.toString('utf8', 0, end);
  const json = text.slice(9);
  if (text.slice(0, 9) !== `${checksum(json)} `) {
    throw new AgentError('SPOOL_DAMAGED', 'the first line is not what was written');
  }
  const fields = JSON.parse(json) as Record<string, unknown>;
  if (fields.format !== FORMAT) {
    throw new AgentError('SPOOL_DAMAGED', `the format is ${JSON.stringify(fields.format)}, not "${FORMAT}"`);
  }
  const header: CallHeader = {
    clusterId: String(fields.cluster_id),
    etcdRevision: BigInt(String(fields.etcd_revision)),
    requestId: String(fields.request_id),
    givenRequestId: typeof fields.given_request_id === 'string' ? fields.given_request_id : undefined,
    knownCheckpoint: String(fields.known_checkpoint),
    contentKey: String(fields.content_key),
    leafCount: Number(fields.leaf_count),
    after: Number(fields.after),
    takenAtMs: Number(fields.taken_at_ms),
  };
  return { header, byteLength: end + 1 };
}

/**
 * A whole file. The key of the content is the checksum of the leaves.
 *
 * @throws {AgentError} SPOOL_DAMAGED
 */
export function decodeCall(bytes: Buffer): { readonly header: CallHeader; readonly packedLeaves: Buffer } {
  const { header, byteLength } = decodeHeader(bytes.subarray(0, MAX_HEADER_BYTES));
  const packedLeaves = bytes.subarray(byteLength);
  if (
    packedLeaves.length !== header.leafCount * LEAF_BYTES ||
    contentKey({ ...header, packedLeaves }) !== header.contentKey
  ) {
    throw new AgentError('SPOOL_DAMAGED', 'the leaves are not what was written');
  }
  return { header, packedLeaves };
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}
