import pg from 'pg';
import { type AppendOutcome, StorageError } from '../notary/storage.ts';
import type { Connection, Statement } from './connection-pool.ts';
import {
  type DatabaseIdentity,
  isSame,
  judgeLineage,
  type KnownLineage,
  type LineageEntry,
  type LineageView,
} from './lineage-judgement.ts';
import { toStorageError } from './sql-state.ts';

export type LineageChange =
  /** Acknowledged data may be missing: this many clusters were sent to `recovering`. */
  | { readonly kind: 'doubted'; readonly reason: string; readonly clusters: number }
  /** The same, found and acted on by another server. */
  | { readonly kind: 'noticedElsewhere'; readonly reason: string }
  /** A failover that lost nothing, since replication was synchronous; whoever found it. */
  | { readonly kind: 'continued'; readonly reason: string }
  /** This database does not tell what it is, so that failovers go unnoticed by this means. */
  | { readonly kind: 'untold'; readonly cause: unknown };

/** Lost races for the next row before somebody else's turn. */
const MAX_ROUNDS = 5;

/**
 * Notices that the database has become another one. What a process cannot compare by its own memory of a log (it was started
 * later, or another one wrote last) is so not extended before an operator has looked: every cluster is sent to `recovering`.
 *
 * Looked at before the first write on every new connection, since none outlives a failover, and now and then, since a pooler's
 * may.
 */
export class LineageWatch {
  readonly #onChange: (change: LineageChange) => void;
  /** Sessions with the server that were found to lead to the known database. */
  readonly #lookedAt = new WeakSet<object>();
  #known: KnownLineage | undefined;
  #isTold = true;

  constructor(onChange: (change: LineageChange) => void) {
    this.#onChange = onChange;
  }

  /** @throws what the driver throws, StorageError */
  async beforeWriting(connection: Connection): Promise<void> {
    if (this.#lookedAt.has(connection.session)) return;
    await this.#look(connection, false);
    this.#lookedAt.add(connection.session);
  }

  /** @throws what the driver throws, StorageError */
  look(connection: Connection): Promise<void> {
    return this.#look(connection, true);
  }

  /** What was acknowledged lies past all WAL that was seen before: a database that lacks that WAL lacks it, too. */
  async appending(append: () => Promise<AppendOutcome>): Promise<AppendOutcome> {
    const before = this.#known;
    const outcome = await append();
    const known = this.#known;
    if (
      outcome.kind === 'appended' &&
      before !== undefined &&
      before.number === known?.number &&
      before.lsn > known.acknowledgedLsn
    ) {
      this.#known = { ...known, acknowledgedLsn: before.lsn };
    }
    return outcome;
  }

  /** @param all false leaves to others what nobody needs to wait for */
  async #look(connection: Connection, all: boolean): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS && this.#isTold; round++) {
      // As of now: an answer may come after that of a later question.
      const known = this.#known;
      const view = await this.#view(connection, known);
      if (view === undefined || (await this.#settle(connection, known, view, all))) return;
    }
    if (this.#isTold)
      throw new StorageError('UNAVAILABLE', "other servers keep writing the database's lineage");
  }

  /** @returns undefined for a database that does not tell */
  async #view(connection: Connection, known: KnownLineage | undefined): Promise<LineageView | undefined> {
    let rows: LineageRow[];
    try {
      rows = await connection.query<LineageRow>(LINEAGE, [known?.number ?? null]);
    } catch (cause) {
      if (!(cause instanceof pg.DatabaseError) || !/^(42|0A)/.test(cause.code ?? '')) throw cause;
      if (known === undefined && !(await tells(connection))) {
        this.#isTold = false;
        this.#onChange({ kind: 'untold', cause });
        return undefined;
      }
      // While a dump is restored its tables are not there, or not granted yet: what comes of it has to be looked at.
      throw new StorageError('UNAVAILABLE', toStorageError(cause).message, { cause });
    }
    const [row] = rows;
    if (row === undefined) throw new StorageError('INTERNAL', 'the database told nothing of itself');
    if (row.standby) {
      // Its promotion would not end the session, and by the same address others may get to the primary.
      connection.giveUp();
      throw new StorageError('UNAVAILABLE', 'the database is a standby');
    }
    return toView(row, rows.flatMap(toEntry), known);
  }

  /** @returns false where another server wrote meanwhile */
  async #settle(
    connection: Connection,
    known: KnownLineage | undefined,
    view: LineageView,
    all: boolean,
  ): Promise<boolean> {
    // Before anything is written, since that may fail: what was acknowledged without a standby stays without one.
    if (this.#known !== undefined && !view.synchronous && isSame(this.#known, view)) {
      this.#known = { ...this.#known, synchronous: false };
    }
    const judgement = judgeLineage(known, view);
    const { newest } = view;
    if (
      judgement.kind === 'same' ||
      judgement.kind === 'noticedElsewhere' ||
      (judgement.kind === 'durability' && !all)
    ) {
      const isDoubted = judgement.kind === 'noticedElsewhere' && !judgement.trusted;
      if (newest !== undefined) this.#take(newest, view, isDoubted);
      if (judgement.kind === 'noticedElsewhere') {
        this.#onChange({ kind: isDoubted ? 'noticedElsewhere' : 'continued', reason: judgement.reason });
      }
      return true;
    }
    // Past every row that anybody may remember.
    const entry = { ...view, number: Math.max(newest?.number ?? 0, known?.number ?? 0) + 1 };
    const isDoubted = judgement.kind === 'changed' && !judgement.trusted;
    const [written] = await connection.query<{ noticed: number; doubted: number }>(NOTICE, [
      entry.number,
      entry.systemIdentifier,
      entry.timeline,
      entry.storage,
      entry.synchronous,
      judgement.reason,
      newest?.number ?? 0,
      isDoubted,
      `${judgement.reason}: acknowledged anchors may be missing`,
    ]);
    const warning = connection.takeWarning();
    if (warning !== undefined) {
      throw new StorageError('UNAVAILABLE', 'the database did not confirm that its lineage is durable', {
        cause: warning,
      });
    }
    if (written?.noticed !== 1) return false;
    this.#take(entry, view, isDoubted);
    const { reason } = judgement;
    if (isDoubted) this.#onChange({ kind: 'doubted', reason, clusters: written.doubted });
    else if (judgement.kind === 'changed') this.#onChange({ kind: 'continued', reason });
    return true;
  }

  #take(
    entry: Pick<LineageEntry, keyof DatabaseIdentity | 'number' | 'synchronous'>,
    view: LineageView,
    isDoubted: boolean,
  ): void {
    const { systemIdentifier, timeline, storage, number } = entry;
    const known = this.#known;
    if (known === undefined || known.number < number) {
      this.#known = {
        systemIdentifier,
        timeline,
        storage,
        number,
        lsn: view.lsn,
        synchronous: entry.synchronous && view.synchronous,
        // Places in the WAL mean nothing in another history.
        acknowledgedLsn: isDoubted ? 0n : (known?.acknowledgedLsn ?? 0n),
      };
    } else if (known.number === number && known.lsn < view.lsn) {
      this.#known = { ...known, lsn: view.lsn };
    }
  }
}

/** Functions that are missing, forbidden or not supported: Postgres as somebody else runs it. */
const UNTOLD = new Set(['42883', '42501', '0A000']);

/** Whether it is not the functions that a look failed for. @throws what the driver throws */
async function tells(connection: Connection): Promise<boolean> {
  try {
    await connection.query(FUNCTIONS, []);
    return true;
  } catch (cause) {
    if (cause instanceof pg.DatabaseError && UNTOLD.has(cause.code ?? '')) return false;
    throw cause;
  }
}

export const FUNCTIONS: Statement = {
  name: 'qm_lineage_functions_1',
  text: `
SELECT system_identifier::text, CASE WHEN NOT pg_is_in_recovery()
  THEN pg_walfile_name(pg_current_wal_lsn()) || pg_current_wal_flush_lsn()::text END
FROM pg_control_system()`,
};

/**
 * The rows from the known one on, or else the newest. The timeline of pg_control lags behind a promotion, that of the file
 * which WAL goes to does not.
 */
export const LINEAGE: Statement = {
  name: 'qm_lineage_2',
  text: `
SELECT pg_is_in_recovery() AS standby,
  (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
  CASE WHEN NOT pg_is_in_recovery()
    THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 END AS timeline,
  (SELECT oid::text FROM pg_database WHERE datname = current_database()) || '/' || to_regclass('heads')::oid::text AS storage,
  CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text END AS lsn,
  current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
    AS synchronous,
  l.number, l.system_identifier AS entry_system_identifier, l.timeline AS entry_timeline, l.storage AS entry_storage,
  l.synchronous AS entry_synchronous, (l.lsn - '0/0'::pg_lsn)::text AS entry_lsn, l.trusted AS entry_trusted,
  l.reason AS entry_reason
FROM (SELECT 1) one LEFT JOIN lineage l ON l.number >= least($1::int8, (SELECT max(number) FROM lineage))
ORDER BY l.number`,
};

/** One row more than was seen, and the clusters with it, or nothing. */
export const NOTICE: Statement = {
  name: 'qm_notice_lineage_3',
  text: `
WITH noticed AS (
  INSERT INTO lineage (number, system_identifier, timeline, storage, synchronous, lsn, reason, trusted)
  SELECT $1::int8, $2::text, $3::int4, $4::text, $5::boolean, pg_current_wal_flush_lsn(), $6::text, NOT $8::boolean
  WHERE (SELECT coalesce(max(number), 0) FROM lineage) = $7::int8
  ON CONFLICT DO NOTHING
  RETURNING 1
), doubted AS (
  UPDATE clusters SET state = 'recovering', state_reason = $9::text, state_version = state_version + 1,
    frozen_reason = CASE WHEN state = 'frozen' THEN state_reason END
  FROM noticed WHERE $8::boolean AND state IN ('active', 'frozen')
  RETURNING 1
)
SELECT (SELECT count(*) FROM noticed)::int4 AS noticed, (SELECT count(*) FROM doubted)::int4 AS doubted`,
};

type LineageRow =
  | { readonly standby: true }
  | ({
      readonly standby: false;
      readonly system_identifier: string;
      readonly timeline: number;
      readonly storage: string;
      readonly lsn: string;
      readonly synchronous: boolean;
    } & EntryRow);

type EntryRow =
  | { readonly number: null }
  | {
      readonly number: number;
      readonly entry_system_identifier: string;
      readonly entry_timeline: number;
      readonly entry_storage: string;
      readonly entry_synchronous: boolean;
      readonly entry_lsn: string;
      readonly entry_trusted: boolean;
      readonly entry_reason: string;
    };

function toView(
  row: LineageRow & { readonly standby: false },
  entries: readonly LineageEntry[],
  known: KnownLineage | undefined,
): LineageView {
  return {
    systemIdentifier: row.system_identifier,
    timeline: row.timeline,
    storage: row.storage,
    lsn: BigInt(row.lsn),
    synchronous: row.synchronous,
    newest: entries.at(-1),
    remembered: entries.find(({ number }) => number === known?.number),
    since: known === undefined ? [] : entries.filter(({ number }) => number > known.number),
  };
}

function toEntry(row: LineageRow): LineageEntry[] {
  if (row.standby || row.number === null) return [];
  return [
    {
      number: row.number,
      systemIdentifier: row.entry_system_identifier,
      timeline: row.entry_timeline,
      storage: row.entry_storage,
      synchronous: row.entry_synchronous,
      lsn: BigInt(row.entry_lsn),
      trusted: row.entry_trusted,
      reason: row.entry_reason,
    },
  ];
}
