import { type Head, type LogSnapshot, type LogTileRange, StorageError } from '../notary/storage.ts';
import { checkTimeMs } from './columns.ts';
import type { Connection, Statement } from './connection-pool.ts';
import { type ClusterRow, type HeadRow, toCluster, toHead } from './rows.ts';

/** BETWEEN, ORDER and LIMIT make it plannable by the primary key only, whatever statistics say. */
const HEAD_COLUMNS = `h.size, h.root, h.prev_size, h.mac, h.epoch, (
    SELECT p.root FROM heads p
    WHERE p.cluster_id = $1 AND p.size BETWEEN h.prev_size AND h.prev_size ORDER BY p.size LIMIT 1
  ) AS prev_root`;

/** Always one row, so that a standby and a cluster without heads are told from an unknown cluster. */
export const READ_LOG: Statement = {
  name: 'qm_read_log_2',
  text: `
SELECT server.standby, c.cluster_id, c.display_name, c.origin, c.state, c.state_reason, c.state_version, c.confirmed_size,
  c.request_id, c.predecessor_id, c.successor_id, c.frozen_reason,
  (extract(epoch FROM c.created_at) * 1000)::int8 AS created_at_ms,
  ${HEAD_COLUMNS}, (
    SELECT (extract(epoch FROM a.created_at) * 1000)::int8 FROM anchors a
    WHERE a.cluster_id = $1 AND a.log_index < h.size ORDER BY a.log_index DESC LIMIT 1
  ) AS last_created_at_ms
FROM (SELECT pg_is_in_recovery() AS standby) server
LEFT JOIN clusters c ON c.cluster_id = $1
LEFT JOIN LATERAL (SELECT * FROM heads WHERE cluster_id = c.cluster_id ORDER BY size DESC LIMIT 1) h ON true`,
};

type LogRow = { readonly standby: boolean } & (
  | { readonly cluster_id: null }
  | (ClusterRow & { readonly last_created_at_ms: number | null } & (HeadRow | { readonly size: null }))
);

export async function readLog(connection: Connection, clusterId: string): Promise<LogSnapshot | undefined> {
  const [row] = await connection.query<LogRow>(READ_LOG, [clusterId]);
  if (row === undefined || row.standby) {
    throw new StorageError('UNAVAILABLE', 'the database is a standby, not the primary');
  }
  if (row.cluster_id === null) return undefined;
  if (row.size === null) throw new StorageError('CORRUPT', `cluster ${clusterId} has no heads`);
  return {
    cluster: toCluster(row),
    head: toHead(row),
    lastCreatedAtMs: row.last_created_at_ms === null ? undefined : checkTimeMs(row.last_created_at_ms),
  };
}

export const HEADS_FROM: Statement = {
  name: 'qm_heads_from_1',
  text: `SELECT ${HEAD_COLUMNS} FROM heads h
WHERE h.cluster_id = $1 AND h.size BETWEEN $2 AND $3 ORDER BY h.size LIMIT $4`,
};

export async function readHead(
  connection: Connection,
  clusterId: string,
  size: number,
): Promise<Head | undefined> {
  return (await connection.query<HeadRow>(HEADS_FROM, [clusterId, size, size, 1])).map(toHead)[0];
}

export async function listHeads(
  connection: Connection,
  clusterId: string,
  afterSize: number | undefined,
  limit: number,
): Promise<readonly Head[]> {
  const first = afterSize === undefined ? 0 : afterSize + 1;
  const values = [clusterId, first, Number.MAX_SAFE_INTEGER, limit];
  return (await connection.query<HeadRow>(HEADS_FROM, values)).map(toHead);
}

export const HEAD_AFTER: Statement = {
  name: 'qm_head_after_1',
  text: `SELECT ${HEAD_COLUMNS} FROM heads h
WHERE h.cluster_id = $1 AND h.prev_size BETWEEN $2 AND $2 ORDER BY h.prev_size LIMIT 1`,
};

export async function readHeadAfter(
  connection: Connection,
  clusterId: string,
  prevSize: number,
): Promise<Head | undefined> {
  return (await connection.query<HeadRow>(HEAD_AFTER, [clusterId, prevSize])).map(toHead)[0];
}

/** Level 0 is read from the covering index of anchors alone. */
export const READ_TILES: Statement = {
  name: 'qm_read_tiles_2',
  text: `
SELECT tile.hashes, tile.hash_count
FROM unnest($1::uuid[], $2::int2[], $3::int8[], $4::int8[]) WITH ORDINALITY AS r(cluster_id, level, first, "end", n)
CROSS JOIN LATERAL (
  SELECT string_agg(h.hash, ''::bytea ORDER BY h.index) AS hashes, count(*)::int4 AS hash_count
  FROM (
    (SELECT log_index AS index, record_hash AS hash FROM anchors
      WHERE r.level = 0 AND cluster_id = r.cluster_id AND log_index >= r.first AND log_index < r."end" ORDER BY log_index)
    UNION ALL
    (SELECT index, hash FROM log_nodes
      WHERE r.level > 0 AND cluster_id = r.cluster_id AND level = r.level AND index >= r.first AND index < r."end" ORDER BY index)
  ) h
) tile
ORDER BY r.n`,
};

export interface LogTileRangeOfCluster extends LogTileRange {
  readonly clusterId: string;
}

/** As many of the hashes of one range as there are. */
interface StoredTile {
  readonly hashes: Uint8Array | null;
  readonly hash_count: number;
}

/** What there is of each range, in their order. */
export async function readStoredTiles(
  connection: Connection,
  ranges: readonly LogTileRangeOfCluster[],
): Promise<readonly (StoredTile | undefined)[]> {
  const rows = await connection.query<StoredTile>(READ_TILES, [
    ranges.map((range) => range.clusterId),
    ranges.map((range) => range.level),
    ranges.map((range) => range.first),
    ranges.map((range) => range.first + range.count),
  ]);
  return ranges.map((_, i) => rows[i]);
}

/** @throws StorageError CORRUPT where there is less than was asked for */
export function wholeTiles(
  ranges: readonly LogTileRangeOfCluster[],
  stored: readonly (StoredTile | undefined)[],
): readonly Uint8Array[] {
  return ranges.map(({ clusterId, level, first, count }, i) => {
    const tile = stored[i];
    const hashes = tile?.hashes ?? new Uint8Array();
    // Keys are unique, so that as many rows as numbers in the range are all of them.
    if (tile?.hash_count !== count || hashes.length !== count * 32) {
      throw new StorageError(
        'CORRUPT',
        `cluster ${clusterId} has ${tile?.hash_count ?? 0} of the ${count} hashes of level ${level} from number ${first} on`,
      );
    }
    return hashes;
  });
}

export async function readLogTiles(
  connection: Connection,
  clusterId: string,
  ranges: readonly LogTileRange[],
): Promise<readonly Uint8Array[]> {
  if (ranges.length === 0) return [];
  const wanted = ranges.map((range) => ({ ...range, clusterId }));
  return wholeTiles(wanted, await readStoredTiles(connection, wanted));
}
