import { type Storage, StorageError } from '../notary/storage.ts';
import { append, appendLocked } from './appender.ts';
import { storeBatch } from './batch-store.ts';
import { BytesUnderWay } from './bytes-under-way.ts';
import { checkDatabase, type DatabaseCheck, type DatabaseCheckOptions } from './check.ts';
import { changeState, insertCluster, listClusters, readCluster, readKeys } from './cluster-store.ts';
import { type Connection, ConnectionPool, type Connections, type Statement } from './connection-pool.ts';
import {
  type AnchorName,
  type BatchRangeOfCluster,
  findEntries,
  findEntriesByRequestId,
  findEntriesNamed,
  firstLogIndexSince,
  listEntries,
  readBatchBytes,
  wholeRanges,
} from './entry-reader.ts';
import { GatheredReads } from './gathered-reads.ts';
import { type LineageChange, LineageWatch } from './lineage.ts';
import {
  type LogTileRangeOfCluster,
  listHeads,
  readHead,
  readHeadAfter,
  readLog,
  readLogTiles,
  readStoredTiles,
  wholeTiles,
} from './log-reader.ts';
import { findLostStatements } from './pooler.ts';
import { toStorageError } from './sql-state.ts';

export interface PostgresStorageOptions {
  /** Of the application role (see `application-role.ts`). */
  readonly databaseUrl: string;
  /** Connections, 10 by default; more than that brings nothing. */
  readonly poolSize?: number | undefined;
  /** How long to wait for a connection, 5,000 by default. */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * How long to wait for the answer to a statement, 30,000 by default, and for that to a big batch a second more for each MiB.
   * Then its connection is given up; the statement is not cancelled, and what became of an append is found out on another
   * connection.
   */
  readonly answerTimeoutMs?: number | undefined;
  /** Prepare statements once per connection, true by default. PgBouncer before 1.21 in transaction mode needs false. */
  readonly namedStatements?: boolean | undefined;
  /** Told of connections that break while nobody uses them, which is no failure of anything. */
  readonly onIdleError?: ((error: Error) => void) | undefined;
  /** Told when the database turns out to be another one than before. */
  readonly onLineageChange?: ((change: LineageChange) => void) | undefined;
}

export interface PostgresStorage extends Storage {
  /** What is wrong with the database as a place for history; see `checkDatabase`. */
  check(options?: DatabaseCheckOptions): Promise<DatabaseCheck>;
  /** Looks whether the database is still the one that was served before; see `LineageWatch`. */
  checkLineage(): Promise<void>;
  /** Waits for what is in use, then closes all connections. */
  close(): Promise<void>;
}

/** Two batches of the default limit; of the smallest that are stored apart from their anchors, more than there are connections. */
const MAX_BATCH_BYTES_UNDER_WAY = 64 * 1024 * 1024;
/** How long a batch waits for those before it; its caller is told to come again, to another replica maybe. */
const BATCH_PATIENCE_MS = 10_000;

/** The storage port on Postgres 15 or later. Connects when first used, and again after every failure. */
export function createPostgresStorage(options: PostgresStorageOptions): PostgresStorage {
  const namedStatements = options.namedStatements ?? true;
  const pool = new ConnectionPool({
    databaseUrl: options.databaseUrl,
    poolSize: options.poolSize ?? 10,
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    answerTimeoutMs: options.answerTimeoutMs ?? 30_000,
    namedStatements,
    onIdleError: options.onIdleError ?? (() => {}),
  });

  const read = <T>(work: (connection: Connection) => Promise<T>) => withConnection(pool.readers, work);
  const lineage = new LineageWatch(options.onLineageChange ?? (() => {}));
  const writers = lookingFirst(pool.writers, lineage);
  const batches = new BytesUnderWay(MAX_BATCH_BYTES_UNDER_WAY, BATCH_PATIENCE_MS);
  const write = <T>(work: (connection: Connection) => Promise<T>) =>
    withConnection(writers, async (connection) => {
      const result = await work(connection);
      assertDurable(connection);
      return result;
    });

  // What every proof begins with.
  const entries = new GatheredReads((names: readonly AnchorName[]) =>
    read((connection) => findEntriesNamed(connection, names)),
  );
  const batchBytes = new GatheredReads((ranges: readonly BatchRangeOfCluster[]) =>
    read((connection) => readBatchBytes(connection, ranges)),
  );
  const tiles = new GatheredReads((ranges: readonly LogTileRangeOfCluster[]) =>
    read((connection) => readStoredTiles(connection, ranges)),
  );

  return {
    createCluster: (created) =>
      write(async (connection) => {
        await connection.control('BEGIN');
        try {
          const outcome = await insertCluster(connection, created);
          await connection.control(outcome.kind === 'created' ? 'COMMIT' : 'ROLLBACK');
          return outcome;
        } catch (error) {
          await connection.rollBack();
          throw error;
        }
      }),
    readCluster: (clusterId) => read((connection) => readCluster(connection, clusterId)),
    listClusters: (after, limit) => read((connection) => listClusters(connection, after, limit)),
    readKeys: (clusterId) => read((connection) => readKeys(connection, clusterId)),
    changeState: (change) => write((connection) => changeState(connection, change)),

    readLog: (clusterId) => read((connection) => readLog(connection, clusterId)),
    readHead: (clusterId, size) => read((connection) => readHead(connection, clusterId, size)),
    readHeadAfter: (clusterId, size) => read((connection) => readHeadAfter(connection, clusterId, size)),
    listHeads: (clusterId, after, limit) =>
      read((connection) => listHeads(connection, clusterId, after, limit)),
    confirmDurable: (clusterId, { size, root }) =>
      write(async (connection) => {
        const [row] = await connection.query<{ readonly stored: boolean }>(CONFIRM, [clusterId, size, root]);
        return row?.stored === true;
      }),
    async readLogTiles(clusterId, ranges) {
      if (!areFew(ranges)) return read((connection) => readLogTiles(connection, clusterId, ranges));
      const wanted = ranges.map((range) => ({ ...range, clusterId }));
      return wholeTiles(wanted, await Promise.all(wanted.map((range) => tiles.get(range))));
    },

    append: (group) => lineage.appending(() => append(writers, group)),
    appendLocked: (clusterId, wanted, build) =>
      lineage.appending(() => appendLocked(writers, clusterId, wanted, build)),
    storeBatch: (clusterId, batch, signal) =>
      batches.hold(batch.leaves.length, signal, () =>
        write(async (connection) => {
          signal.throwIfAborted();
          await storeBatch(connection, clusterId, batch);
        }),
      ),

    findEntry: (anchorId, clusterId) => entries.get({ anchorId, clusterId }),
    findEntries: (clusterId, anchorIds) =>
      read((connection) => findEntries(connection, clusterId, anchorIds)),
    findEntriesByRequestId: (clusterId, requestIds) =>
      read((connection) => findEntriesByRequestId(connection, clusterId, requestIds)),
    listEntries: (clusterId, from, limit) =>
      read((connection) => listEntries(connection, clusterId, from, limit)),
    firstLogIndexSince: (clusterId, createdAtMs) =>
      read((connection) => firstLogIndexSince(connection, clusterId, createdAtMs)),
    async readBatchRanges(clusterId, ranges) {
      const wanted = ranges.map((range) => ({ ...range, clusterId }));
      const stored = areFew(ranges)
        ? await Promise.all(wanted.map((range) => batchBytes.get(range)))
        : await read((connection) => readBatchBytes(connection, wanted));
      return wholeRanges(wanted, stored);
    },

    ping: () =>
      read(async (connection) => {
        const [server] = await connection.query<{ standby: boolean }>(PING, []);
        if (server?.standby !== false) throw new StorageError('UNAVAILABLE', 'the database is a standby');
      }),
    async check(checkOptions = {}) {
      const found = await read((connection) => checkDatabase(connection, checkOptions));
      if (!namedStatements || found.refusals.length > 0) return found;
      const lost = await read((a) => read((b) => findLostStatements(a, b)));
      return lost === undefined ? found : { ...found, refusals: [lost] };
    },
    checkLineage: () => withConnection(pool.readers, (connection) => lineage.look(connection)),
    close: () => pool.close(),
  };
}

/** What one proof needs of a batch or of a log: a row of hashes for each level. More go in a statement of their own. */
function areFew(ranges: readonly { readonly count: number }[]): boolean {
  return ranges.length <= FEW_RANGES && ranges.every(({ count }) => count <= SMALL_RANGE);
}

const FEW_RANGES = 4;
const SMALL_RANGE = 256;

/** A row lock is WAL: its commit waits for the standby as an append's does, and for all WAL before it. */
export const CONFIRM: Statement = {
  name: 'qm_confirm_1',
  text: `
SELECT EXISTS (
  SELECT FROM heads WHERE cluster_id = $1 AND size BETWEEN $2::int8 AND $2 AND root = $3::bytea
) AS stored
FROM clusters WHERE cluster_id = $1 FOR SHARE`,
};

const PING: Statement = { name: 'qm_ping_1', text: 'SELECT pg_is_in_recovery() AS standby' };

/** Nothing is written to a database that was not looked at. */
function lookingFirst(pool: Connections, lineage: LineageWatch): Connections {
  return {
    async connect() {
      const connection = await pool.connect();
      try {
        await lineage.beforeWriting(connection);
        return connection;
      } catch (error) {
        connection.release();
        throw error;
      }
    },
  };
}

async function withConnection<T>(
  pool: Connections,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  let connection: Connection | undefined;
  try {
    connection = await pool.connect();
    return await work(connection);
  } catch (error) {
    throw toStorageError(error);
  } finally {
    connection?.release();
  }
}

/** What was written is visible, but a failover may take it back: the caller has to ask again. */
function assertDurable(connection: Connection): void {
  const warning = connection.takeWarning();
  if (warning === undefined) return;
  throw new StorageError('UNAVAILABLE', 'the database did not confirm that the commit is durable', {
    cause: warning,
  });
}
