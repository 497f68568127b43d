import { type BatchRange, type Entry, type EntryOfCluster, StorageError } from '../notary/storage.ts';
import type { Connection, Statement } from './connection-pool.ts';
import { ENTRY_COLUMNS, type EntryRow, selectEntries, toEntry } from './rows.ts';

/**
 * By anchor_id first: only one index begins with it, and the cluster is looked at afterwards. OFFSET 0 keeps the lookup inside
 * the loop over the ids given, also for a planner that takes the table for empty.
 */
export const FIND_BY_ANCHOR_ID: Statement = {
  name: 'qm_find_by_anchor_id_1',
  text: `
SELECT ${ENTRY_COLUMNS}
FROM unnest($1::uuid[]) AS given(id)
CROSS JOIN LATERAL (SELECT * FROM anchors a WHERE a.anchor_id = given.id ORDER BY a.anchor_id OFFSET 0) found
WHERE $2::uuid IS NULL OR found.cluster_id = $2`,
};

export const FIND_BY_REQUEST_ID: Statement = {
  name: 'qm_find_by_request_id_1',
  text: `
SELECT ${ENTRY_COLUMNS}
FROM unnest($2::uuid[]) AS given(id)
CROSS JOIN LATERAL (
  SELECT * FROM anchors a
  WHERE a.cluster_id = $1 AND a.request_id BETWEEN given.id AND given.id
  ORDER BY a.request_id LIMIT 1
) found`,
};

/** The same lookup, of nothing else that a row holds: a damaged row must not keep a group out whose others are new. */
export const KNOWN_REQUEST_IDS: Statement = {
  name: 'qm_known_request_ids_1',
  text: `
SELECT found.request_id
FROM unnest($2::uuid[]) AS given(id)
CROSS JOIN LATERAL (
  SELECT a.request_id FROM anchors a
  WHERE a.cluster_id = $1 AND a.request_id BETWEEN given.id AND given.id
  ORDER BY a.request_id LIMIT 1
) found`,
};

export interface AnchorName {
  readonly anchorId: string;
  /** undefined: in any cluster. */
  readonly clusterId: string | undefined;
}

/** One answer for each name, in their order. */
export async function findEntriesNamed(
  connection: Connection,
  names: readonly AnchorName[],
): Promise<readonly (EntryOfCluster | undefined)[]> {
  const anchorIds = [...new Set(names.map(({ anchorId }) => anchorId))];
  const rows = await connection.query<EntryRow>(FIND_BY_ANCHOR_ID, [anchorIds, null]);
  return names.map(({ anchorId, clusterId }) => {
    const row = rows.find(
      (found) => found.anchor_id === anchorId && (clusterId === undefined || found.cluster_id === clusterId),
    );
    return row && { ...toEntry(row), clusterId: row.cluster_id };
  });
}

export async function findEntries(
  connection: Connection,
  clusterId: string,
  anchorIds: readonly string[],
): Promise<readonly Entry[]> {
  if (anchorIds.length === 0) return [];
  return (await connection.query<EntryRow>(FIND_BY_ANCHOR_ID, [anchorIds, clusterId])).map(toEntry);
}

export async function findEntriesByRequestId(
  connection: Connection,
  clusterId: string,
  requestIds: readonly string[],
): Promise<readonly Entry[]> {
  if (requestIds.length === 0) return [];
  return (await connection.query<EntryRow>(FIND_BY_REQUEST_ID, [clusterId, requestIds])).map(toEntry);
}

/** Those that are anchored. */
export async function findKnownRequestIds(
  connection: Connection,
  clusterId: string,
  requestIds: readonly string[],
): Promise<ReadonlySet<string>> {
  if (requestIds.length === 0) return new Set();
  const rows = await connection.query<{ request_id: string }>(KNOWN_REQUEST_IDS, [clusterId, requestIds]);
  return new Set(rows.map((row) => row.request_id));
}

export async function listEntries(
  connection: Connection,
  clusterId: string,
  fromLogIndex: number,
  limit: number,
): Promise<readonly Entry[]> {
  const query = selectEntries()
    .where('cluster_id', '=', clusterId)
    .where('log_index', '>=', fromLogIndex)
    .orderBy('log_index')
    .limit(limit);
  return (await connection.run(query)).map(toEntry);
}

/**
 * A binary search over the primary key, since created_at never goes back along the log: 20 lookups in a log of a million
 * entries, and no index for them. Ends early, with low < high, where an entry is missing.
 */
export const FIRST_SINCE: Statement = {
  name: 'qm_first_since_1',
  text: `
WITH RECURSIVE search(low, high, size) AS (
  SELECT 0::int8, size, size FROM (
    SELECT size FROM heads WHERE cluster_id = $1 ORDER BY size DESC LIMIT 1
  ) newest
  UNION ALL
  SELECT
    CASE WHEN middle.since THEN s.low ELSE middle.log_index + 1 END,
    CASE WHEN middle.since THEN middle.log_index ELSE s.high END,
    s.size
  FROM search s CROSS JOIN LATERAL (
    SELECT a.log_index, a.created_at >= to_timestamp($2::float8 / 1000)::timestamptz(3) AS since
    FROM anchors a
    WHERE a.cluster_id = $1 AND a.log_index BETWEEN (s.low + s.high) / 2 AND (s.low + s.high) / 2
    ORDER BY a.log_index LIMIT 1
  ) middle
  WHERE s.low < s.high
)
SELECT low, high, size FROM search`,
};

export async function firstLogIndexSince(
  connection: Connection,
  clusterId: string,
  createdAtMs: number,
): Promise<number | undefined> {
  const steps = await connection.query<{ low: number; high: number; size: number }>(FIRST_SINCE, [
    clusterId,
    createdAtMs,
  ]);
  const last = steps.at(-1);
  if (last === undefined) return undefined;
  if (last.low < last.high) {
    const missing = Math.floor((last.low + last.high) / 2);
    throw new StorageError('CORRUPT', `cluster ${clusterId} has no entry number ${missing}`);
  }
  return last.low < last.size ? last.low : undefined;
}

export const READ_BATCHES: Statement = {
  name: 'qm_read_batches_2',
  text: `
SELECT CASE WHEN r.of_leaves THEN substring(b.leaves FROM r.start + 1 FOR r.length)
  ELSE substring(b.nodes FROM r.start + 1 FOR r.length) END AS bytes
FROM unnest($1::uuid[], $2::uuid[], $3::bool[], $4::int4[], $5::int4[]) WITH ORDINALITY
  AS r(cluster_id, anchor_id, of_leaves, start, length, n)
LEFT JOIN anchor_leaves b ON b.cluster_id = r.cluster_id AND b.anchor_id = r.anchor_id
ORDER BY r.n`,
};

export interface BatchRangeOfCluster extends BatchRange {
  readonly clusterId: string;
}

/** What there is of each range, in their order. */
export async function readBatchBytes(
  connection: Connection,
  ranges: readonly BatchRangeOfCluster[],
): Promise<readonly (Uint8Array | undefined)[]> {
  const rows = await connection.query<{ bytes: Uint8Array | null }>(READ_BATCHES, [
    ranges.map((range) => range.clusterId),
    ranges.map((range) => range.anchorId),
    ranges.map((range) => range.column === 'leaves'),
    ranges.map((range) => range.first * 32),
    ranges.map((range) => range.count * 32),
  ]);
  return ranges.map((_, i) => rows[i]?.bytes ?? undefined);
}

/** @throws StorageError CORRUPT where there is less than was asked for */
export function wholeRanges(
  ranges: readonly BatchRangeOfCluster[],
  stored: readonly (Uint8Array | undefined)[],
): readonly Uint8Array[] {
  return ranges.map(({ clusterId, anchorId, column, first, count }, i) => {
    const bytes = stored[i];
    if (bytes?.length !== count * 32) {
      throw new StorageError(
        'CORRUPT',
        `anchor ${anchorId} of cluster ${clusterId} lacks some of its ${column} from ${first} to ${first + count}`,
      );
    }
    return bytes;
  });
}
