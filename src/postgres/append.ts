import { type AppendGroup, type AppendOutcome, StorageError } from '../notary/storage.ts';
import type { Connection, Statement } from './connection-pool.ts';

/**
 * One compare-and-set: the new head is inserted selected from the old one, and everything else from that insert, so that a
 * stale, missing or racing head, a cluster that is not active, or a known request id writes nothing at all.
 *
 * - FOR SHARE on the cluster's row makes a change of its state wait for appends in flight, and appends see the change after it.
 * - Leaves that were stored by a commit of their own may have been lost with it in a failover; an anchor must not be.
 * - Lookups are "BETWEEN the key AND the key, in order": only the index in that order can serve an ordered LIMIT, so that no
 *   statistics, or none at all, can make another index that starts with cluster_id look as good.
 * - Rows travel as one bytea with offsets, since the driver sends arrays of buffers as hex text.
 */
export const APPEND: Statement = {
  name: 'qm_append_1',
  text: `
WITH dup AS (
  SELECT found.request_id
  FROM unnest($9::uuid[]) AS given(request_id)
  CROSS JOIN LATERAL (
    SELECT a.request_id FROM anchors a
    WHERE a.cluster_id = $1 AND a.request_id BETWEEN given.request_id AND given.request_id
    ORDER BY a.request_id LIMIT 1
  ) found
  WHERE given.request_id IS NOT NULL
), missing AS (
  SELECT given.anchor_id
  FROM unnest($24::uuid[]) AS given(anchor_id)
  WHERE NOT EXISTS (
    SELECT FROM anchor_leaves b WHERE b.cluster_id = $1 AND b.anchor_id BETWEEN given.anchor_id AND given.anchor_id
  )
), live AS (
  SELECT 1 FROM clusters WHERE cluster_id = $1 AND state = 'active' FOR SHARE
), head AS (
  INSERT INTO heads (cluster_id, size, prev_size, epoch, root, mac)
  SELECT $1::uuid, $4::int8, p.size, $7::int4, $5::bytea, $6::bytea
  FROM (
    SELECT size, root FROM heads WHERE cluster_id = $1 AND size BETWEEN $2::int8 AND $2 ORDER BY size LIMIT 1
  ) p CROSS JOIN live
  WHERE p.root = $3::bytea AND NOT EXISTS (SELECT FROM dup) AND NOT EXISTS (SELECT FROM missing)
  ON CONFLICT DO NOTHING
  RETURNING 1
), entries AS (
  INSERT INTO anchors (cluster_id, log_index, created_at, anchor_id, request_id, leaf_count, root, record_hash, record)
  SELECT $1, $2 + e.n - 1, to_timestamp(e.created_at_ms::float8 / 1000), e.anchor_id, e.request_id, e.leaf_count,
    CASE WHEN e.anchor_id IS NOT NULL THEN substring($13::bytea FROM (e.n * 64 - 31)::int4 FOR 32) END,
    substring($13 FROM (e.n * 64 - 63)::int4 FOR 32),
    substring($14::bytea FROM e.record_start + 1 FOR e.record_length)
  FROM head CROSS JOIN
    unnest($8::uuid[], $9::uuid[], $10::int4[], $11::int8[], $12::int4[], $15::int4[]) WITH ORDINALITY
    AS e(anchor_id, request_id, leaf_count, created_at_ms, record_start, record_length, n)
), leaves AS (
  INSERT INTO anchor_leaves (cluster_id, anchor_id, leaves, nodes)
  SELECT $1, b.anchor_id,
    substring($19::bytea FROM b.start + 1 FOR b.leaves_length),
    substring($19 FROM b.start + b.leaves_length + 1 FOR b.nodes_length)
  FROM head CROSS JOIN unnest($16::uuid[], $17::int4[], $18::int4[], $20::int4[])
    AS b(anchor_id, start, leaves_length, nodes_length)
), nodes AS (
  INSERT INTO log_nodes (cluster_id, level, index, hash)
  SELECT $1, l.level, l.index, substring($23::bytea FROM (l.n * 32 - 31)::int4 FOR 32)
  FROM head CROSS JOIN unnest($21::int2[], $22::int8[]) WITH ORDINALITY AS l(level, index, n)
)
SELECT (SELECT count(*) FROM head)::int4 AS heads, ARRAY(SELECT request_id::text FROM dup) AS known_request_ids,
  ARRAY(SELECT anchor_id::text FROM missing) AS missing_batches`,
};

const NO_ROOT = new Uint8Array(32);

interface AppendRow {
  readonly heads: number;
  readonly known_request_ids: readonly string[];
  readonly missing_batches: readonly string[];
}

/** A group as the statement's parameters: a defect shows here, where nothing has been sent yet. */
export type PackedAppend = readonly unknown[];

/**
 * Sends the statement.
 *
 * @throws what the driver throws; `appendFailure` says what it means
 */
export async function sendAppend(connection: Connection, packed: PackedAppend): Promise<AppendOutcome> {
  const [row] = await connection.query<AppendRow>(APPEND, packed);
  if (row === undefined) throw new StorageError('INTERNAL', 'the append statement gave no row');
  if (row.heads === 1) return { kind: 'appended' };
  if (row.missing_batches.length > 0) return { kind: 'batchesMissing', anchorIds: row.missing_batches };
  return { kind: 'refused', knownRequestIds: row.known_request_ids };
}

/** @throws StorageError INTERNAL */
export function packAppend(group: AppendGroup): PackedAppend {
  const { clusterId, oldHead, newHead, entries, batches, storedBatches, logNodes } = group;
  assertContiguous(group);
  const records = packing(entries.map((entry) => entry.record));
  const leaves = packing(batches.flatMap((batch) => [batch.leaves, batch.nodes]));
  return [
    clusterId,
    oldHead.size,
    oldHead.root,
    newHead.size,
    newHead.root,
    newHead.mac,
    newHead.epoch,
    entries.map((entry) => entry.anchorId ?? null),
    entries.map((entry) => entry.requestId ?? null),
    entries.map((entry) => entry.leafCount),
    entries.map((entry) => entry.createdAtMs),
    records.starts,
    packHashes(entries.flatMap((entry) => [entry.recordHash, entry.root ?? NO_ROOT])),
    records.bytes,
    records.lengths,
    batches.map((batch) => batch.anchorId),
    batches.map((_, i) => leaves.starts[2 * i]),
    batches.map((batch) => batch.leaves.length),
    leaves.bytes,
    batches.map((batch) => batch.nodes.length),
    logNodes.map((node) => node.level),
    logNodes.map((node) => node.index),
    packHashes(logNodes.map((node) => node.hash)),
    storedBatches,
  ];
}

/** Indexes are not sent: the statement counts on from the old head. */
function assertContiguous({ oldHead, newHead, entries }: AppendGroup): void {
  const contiguous =
    entries.length > 0 &&
    entries.every((entry, i) => entry.logIndex === oldHead.size + i) &&
    newHead.size === oldHead.size + entries.length &&
    newHead.prevSize === oldHead.size;
  if (!contiguous) {
    throw new StorageError(
      'INTERNAL',
      `${entries.length} entries do not lead from size ${oldHead.size} to ${newHead.size}`,
    );
  }
}

/** Without offsets, so that one of another length would shift all that follow. */
function packHashes(hashes: readonly Uint8Array[]): Buffer {
  const odd = hashes.find((hash) => hash.length !== 32);
  if (odd !== undefined) throw new StorageError('INTERNAL', `a hash of ${odd.length} bytes`);
  return Buffer.concat(hashes);
}

interface Packing {
  readonly bytes: Buffer;
  readonly starts: readonly number[];
  readonly lengths: readonly number[];
}

function packing(parts: readonly Uint8Array[]): Packing {
  const lengths = parts.map((part) => part.length);
  let end = 0;
  const starts = lengths.map((length) => {
    const start = end;
    end += length;
    return start;
  });
  return { bytes: Buffer.concat(parts), starts, lengths };
}
