import { sql } from 'kysely';
import { type Cluster, type Entry, type Head, type LogKeyRow, StorageError } from '../notary/storage.ts';
import {
  checkEpoch,
  checkHashColumn,
  checkLeafCount,
  checkOriginColumn,
  checkRecord,
  checkSizeColumn,
  checkState,
  checkTimeMs,
} from './columns.ts';
import { queries } from './schema.ts';

/** Exact: created_at has 3 decimals, and extract() answers numeric. Sessions may show times as they like. */
const createdAtMs = sql<number>`(extract(epoch FROM created_at) * 1000)::int8`;

export const CREATED_AT_MS = '(extract(epoch FROM created_at) * 1000)::int8 AS created_at_ms';

export const selectClusters = () =>
  queries.selectFrom('clusters').selectAll().select(createdAtMs.as('created_at_ms'));

export const selectEntries = () =>
  queries
    .selectFrom('anchors')
    .select([
      'cluster_id',
      'log_index',
      'anchor_id',
      'request_id',
      'leaf_count',
      'root',
      'record',
      'record_hash',
      createdAtMs.as('created_at_ms'),
    ]);

/** For statements that are not built. */
export const ENTRY_COLUMNS = `cluster_id, log_index, anchor_id, request_id, leaf_count, root, record, record_hash, ${CREATED_AT_MS}`;

export interface ClusterRow {
  readonly cluster_id: string;
  readonly display_name: string;
  readonly origin: string;
  readonly state: Cluster['state'];
  readonly state_reason: string;
  readonly state_version: number;
  readonly confirmed_size: number | null;
  readonly request_id: string | null;
  readonly predecessor_id: string | null;
  readonly successor_id: string | null;
  readonly frozen_reason: string | null;
  readonly created_at_ms: number;
}

export interface HeadRow {
  readonly size: number;
  readonly root: Uint8Array;
  readonly prev_size: number | null;
  readonly prev_root: Uint8Array | null;
  readonly mac: Uint8Array;
  readonly epoch: number;
}

export interface EntryRow {
  readonly cluster_id: string;
  readonly log_index: number;
  readonly anchor_id: string | null;
  readonly request_id: string | null;
  readonly leaf_count: number;
  readonly root: Uint8Array | null;
  readonly record: Uint8Array;
  readonly record_hash: Uint8Array;
  readonly created_at_ms: number;
}

export interface KeyRow {
  readonly epoch: number;
  readonly type: number;
  readonly vkey: string;
  readonly seed_id: string;
  readonly first_size: number;
  readonly last_size: number | null;
}

/** @throws StorageError CORRUPT, as all of these: whoever owns the tables can drop their constraints */
export function toCluster(row: ClusterRow): Cluster {
  return {
    clusterId: row.cluster_id,
    displayName: row.display_name ?? '',
    origin: checkOriginColumn(row.origin),
    state: checkState(row.state),
    stateReason: row.state_reason ?? '',
    stateVersion: checkSizeColumn('state_version', row.state_version),
    confirmedSize: ifGiven(row.confirmed_size, (size) => checkSizeColumn('confirmed_size', size)),
    requestId: row.request_id ?? undefined,
    predecessorId: row.predecessor_id ?? undefined,
    successorId: row.successor_id ?? undefined,
    frozenReason: row.frozen_reason ?? undefined,
    createdAtMs: checkTimeMs(row.created_at_ms),
  };
}

/** @throws StorageError CORRUPT also where the head before it is gone */
export function toHead(row: HeadRow): Head {
  if (row.prev_size !== null && row.prev_root === null) {
    throw new StorageError(
      'CORRUPT',
      `the head of size ${row.size} follows a head of size ${row.prev_size} that is gone`,
    );
  }
  return {
    size: checkSizeColumn('size', row.size),
    root: checkHashColumn('root', row.root),
    prevSize: ifGiven(row.prev_size, (size) => checkSizeColumn('prev_size', size)),
    prevRoot: ifGiven(row.prev_root, (root) => checkHashColumn('prev_root', root)),
    mac: checkHashColumn('mac', row.mac),
    epoch: checkEpoch(row.epoch),
  };
}

export function toEntry(row: EntryRow): Entry {
  return {
    logIndex: checkSizeColumn('log_index', row.log_index),
    anchorId: row.anchor_id ?? undefined,
    leafCount: checkLeafCount(row.leaf_count),
    root: ifGiven(row.root, (root) => checkHashColumn('root', root)),
    requestId: row.request_id ?? undefined,
    record: checkRecord(row.record),
    recordHash: checkHashColumn('record_hash', row.record_hash),
    createdAtMs: checkTimeMs(row.created_at_ms),
  };
}

export function toKey(row: KeyRow): LogKeyRow {
  return {
    epoch: checkEpoch(row.epoch),
    type: row.type,
    vkey: row.vkey,
    seedId: row.seed_id,
    firstSize: checkSizeColumn('first_size', row.first_size),
    lastSize: ifGiven(row.last_size, (size) => checkSizeColumn('last_size', size)),
  };
}

function ifGiven<T, R>(value: T | null, check: (value: T) => R): R | undefined {
  return value === null ? undefined : check(value);
}
