import {
  type AppendGroup,
  type AppendOutcome,
  type LockedReader,
  type LogSnapshot,
  StorageError,
} from '../notary/storage.ts';
import { type PackedAppend, packAppend, sendAppend } from './append.ts';
import type { Connection, Connections, Statement } from './connection-pool.ts';
import { findEntriesByRequestId } from './entry-reader.ts';
import { readLog, readLogTiles } from './log-reader.ts';
import { appendFailure, toStorageError, uncommittedFailure } from './sql-state.ts';

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
 * Pessimistic: the cluster's row is locked before its log is read, so that nobody can win a race in between.
 *
 * @throws StorageError CORRUPT for what was read, and whatever `build` throws; nothing was written then
 */
export async function appendLocked(
  pool: Connections,
  clusterId: string,
  build: (snapshot: LogSnapshot, locked: LockedReader) => Promise<AppendGroup | undefined>,
): Promise<AppendOutcome> {
  return await withConnection(pool, async (connection) => {
    const snapshot = await lockLog(connection, clusterId);
    if (snapshot === undefined || 'kind' in snapshot) {
      await connection.rollBack();
      return snapshot ?? NOTHING_TO_DO;
    }
    const outcome = await appendAfter(connection, () => build(snapshot, lockedReader(connection)));
    if (outcome.kind === 'appended') return await commit(connection, outcome);
    await connection.rollBack();
    return outcome;
  });
}

async function lockLog(
  connection: Connection,
  clusterId: string,
): Promise<LogSnapshot | AppendOutcome | undefined> {
  try {
    await connection.control('BEGIN');
    await connection.query(LOCK_CLUSTER, [clusterId]);
    return await readLog(connection, clusterId);
  } catch (error) {
    if (!(error instanceof StorageError)) return uncommittedFailure(error);
    if (error.code === 'UNAVAILABLE') return { kind: 'unavailable', cause: error };
    await connection.rollBack();
    throw error;
  }
}

async function appendAfter(
  connection: Connection,
  build: () => Promise<AppendGroup | undefined>,
): Promise<AppendOutcome> {
  let packed: PackedAppend | undefined;
  try {
    const group = await build();
    packed = group && packAppend(group);
  } catch (error) {
    await connection.rollBack();
    throw error;
  }
  if (packed === undefined) return NOTHING_TO_DO;
  try {
    return await sendAppend(connection, packed);
  } catch (error) {
    return uncommittedFailure(error);
  }
}

/** On the connection that holds the lock, where the domain expects the errors of its port. */
function lockedReader(connection: Connection): LockedReader {
  const asStorageError = (error: unknown): never => {
    throw toStorageError(error);
  };
  return {
    findEntriesByRequestId: (clusterId, requestIds) =>
      findEntriesByRequestId(connection, clusterId, requestIds).catch(asStorageError),
    readLogTiles: (clusterId, ranges) => readLogTiles(connection, clusterId, ranges).catch(asStorageError),
  };
}

async function commit(connection: Connection, outcome: AppendOutcome): Promise<AppendOutcome> {
  connection.takeWarning();
  try {
    await connection.control('COMMIT');
  } catch (error) {
    return appendFailure(error);
  }
  return acknowledged(connection, outcome);
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
