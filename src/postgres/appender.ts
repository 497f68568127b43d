import {
  type AppendGroup,
  type AppendOutcome,
  type LockedLog,
  type LockedQuestion,
  MAX_CATCH_UP,
  StorageError,
} from '../notary/storage.ts';
import { type PackedAppend, packAppend, sendAppend } from './append.ts';
import type { Connection, Connections, Statement } from './connection-pool.ts';
import { findKnownRequestIds } from './entry-reader.ts';
import { readLog, readStoredTiles } from './log-reader.ts';
import { appendFailure, isFromDatabase, uncommittedFailure } from './sql-state.ts';

const NOTHING_TO_DO: AppendOutcome = { kind: 'refused', knownRequestIds: [] };

/** Optimistic: one statement, its own transaction. @throws StorageError INTERNAL for a group that cannot be sent */
export async function append(pool: Connections, group: AppendGroup): Promise<AppendOutcome> {
  const packed = packAppend(group);
  return await withConnection(pool, async (connection) => {
    let outcome: AppendOutcome;
    try {
      outcome = await sendAppend(connection, packed);
    } catch (error) {
      outcome = appendFailure(error);
    }
    return acknowledged(connection, outcome);
  });
}

/** NO KEY UPDATE waits for the FOR SHARE of optimistic appends, and they for it. */
export const LOCK_CLUSTER: Statement = {
  name: 'qm_lock_cluster_1',
  text: 'SELECT 1 AS locked FROM clusters WHERE cluster_id = $1 FOR NO KEY UPDATE',
};

/**
 * Pessimistic: the cluster's row is locked before its log is read, so that nobody can win a race in between. Two round trips,
 * since others wait for as long as the lock is held: what needs no answer of the statement before travels with it.
 *
 * @throws StorageError CORRUPT for what was read, and whatever `build` throws; nothing was written then
 */
export async function appendLocked(
  pool: Connections,
  clusterId: string,
  wanted: LockedQuestion,
  build: (locked: LockedLog) => AppendGroup | undefined,
): Promise<AppendOutcome> {
  return await withConnection(pool, async (connection) => {
    let locked: LockedLog | undefined;
    try {
      locked = await lockLog(connection, clusterId, wanted);
    } catch (error) {
      await connection.rollBack();
      if (!(error instanceof StorageError)) return uncommittedFailure(error);
      if (error.code === 'UNAVAILABLE') return { kind: 'unavailable', cause: error };
      throw error;
    }
    let packed: PackedAppend | undefined;
    try {
      const group = locked && build(locked);
      packed = group && packAppend(group);
    } catch (error) {
      await connection.rollBack();
      throw error;
    }
    if (packed !== undefined) return await appendAndCommit(connection, packed);
    await connection.rollBack();
    return NOTHING_TO_DO;
  });
}

/** @throws what the driver throws, StorageError */
async function lockLog(
  connection: Connection,
  clusterId: string,
  { fromSize, requestIds }: LockedQuestion,
): Promise<LockedLog | undefined> {
  const [, , snapshot, knownRequestIds, [tile]] = await Promise.all([
    connection.control('BEGIN'),
    connection.query(LOCK_CLUSTER, [clusterId]),
    // Statements of their own: each sees what was committed before the lock was given.
    readLog(connection, clusterId),
    findKnownRequestIds(connection, clusterId, requestIds),
    readStoredTiles(connection, [{ clusterId, level: 0, first: fromSize, count: MAX_CATCH_UP }]),
  ]);
  if (snapshot === undefined) return undefined;
  return { ...snapshot, knownRequestIds, newRecordHashes: tile?.hashes ?? new Uint8Array() };
}

async function appendAndCommit(connection: Connection, packed: PackedAppend): Promise<AppendOutcome> {
  connection.takeWarning();
  const [appended, committed] = await Promise.allSettled([
    sendAppend(connection, packed),
    connection.control('COMMIT'),
  ]);
  // An error that the database answers has ended the transaction, so that its COMMIT was none.
  if (appended.status === 'rejected') {
    return isFromDatabase(appended.reason)
      ? uncommittedFailure(appended.reason)
      : appendFailure(appended.reason);
  }
  if (appended.value.kind !== 'appended') return appended.value;
  if (committed.status === 'rejected') return appendFailure(committed.reason);
  return acknowledged(connection, appended.value);
}

/** A commit that came with a warning may be taken back by a failover. */
function acknowledged(connection: Connection, outcome: AppendOutcome): AppendOutcome {
  const warning = connection.takeWarning();
  return warning === undefined ? outcome : { kind: 'unknown', cause: warning };
}

async function withConnection(
  pool: Connections,
  work: (connection: Connection) => Promise<AppendOutcome>,
): Promise<AppendOutcome> {
  let connection: Connection;
  try {
    connection = await pool.connect();
  } catch (cause) {
    return { kind: 'unavailable', cause };
  }
  try {
    return await work(connection);
  } finally {
    connection.release();
  }
}
