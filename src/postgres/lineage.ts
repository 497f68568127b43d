import pg from 'pg';
import { StorageError } from '../notary/storage.ts';
import type { Connection, Statement } from './connection-pool.ts';
import {
  type DatabaseIdentity,
  isSame,
  judgeLineage,
  type KnownLineage,
  type LineageEntry,
  type LineageView,
} from './lineage-judgement.ts';

export type LineageChange =
  /** Acknowledged data may be missing: this many clusters were sent to `recovering`. */
  | { readonly kind: 'doubted'; readonly reason: string; readonly clusters: number }
  /** The same, found and acted on by another server. */
  | { readonly kind: 'noticedElsewhere'; readonly reason: string }
  /** A failover that lost nothing, since replication was synchronous. */
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

  /** @param all false leaves to others what nobody needs to wait for */
  async #look(connection: Connection, all: boolean): Promise<void> {
    for (let round = 0; round < MAX_ROUNDS && this.#isTold; round++) {
      // As of now: an answer may come after that of a later question.
      const known = this.#known;
      const view = await this.#view(connection);
      if (view === undefined || (await this.#settle(connection, known, view, all))) return;
    }
    if (this.#isTold)
      throw new StorageError('UNAVAILABLE', "other servers keep writing the database's lineage");
  }

  /** @returns undefined for a standby, which takes no writes anyway, and for a database that does not tell */
  async #view(connection: Connection): Promise<LineageView | undefined> {
    try {
      const [row] = await connection.query<LineageRow>(LINEAGE, []);
      return row === undefined || row.standby ? undefined : toView(row);
    } catch (cause) {
      if (!(cause instanceof pg.DatabaseError) || !UNTOLD.has(cause.code ?? '')) throw cause;
      this.#isTold = false;
      this.#onChange({ kind: 'untold', cause });
      return undefined;
    }
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
      if (newest !== undefined) this.#take(newest, view);
      if (judgement.kind === 'noticedElsewhere') this.#onChange(judgement);
      return true;
    }
    const entry: LineageEntry = {
      ...identityOf(view),
      synchronous: view.synchronous,
      // Past every row that anybody may remember.
      number: Math.max(newest?.number ?? 0, known?.number ?? 0) + 1,
      reason: judgement.reason,
    };
    const isDoubted = judgement.kind === 'changed' && !judgement.trusted;
    const [written] = await connection.query<{ noticed: number; doubted: number }>(NOTICE, [
      entry.number,
      entry.systemIdentifier,
      entry.timeline,
      entry.storage,
      entry.synchronous,
      entry.reason,
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
    this.#take(entry, view);
    const { reason } = judgement;
    if (isDoubted) this.#onChange({ kind: 'doubted', reason, clusters: written.doubted });
    else if (judgement.kind === 'changed') this.#onChange({ kind: 'continued', reason });
    return true;
  }

  #take(entry: LineageEntry, { lsn, synchronous }: LineageView): void {
    const known = this.#known;
    if (known === undefined || known.number < entry.number) {
      this.#known = { ...entry, lsn, synchronous: entry.synchronous && synchronous };
    } else if (known.number === entry.number && known.lsn < lsn) {
      this.#known = { ...known, lsn };
    }
  }
}

/** Functions that are missing, forbidden or not supported: Postgres as somebody else runs it. */
const UNTOLD = new Set(['42883', '42501', '0A000']);

/** The timeline of pg_control lags behind a promotion, that of the file which WAL goes to does not. */
export const LINEAGE: Statement = {
  name: 'qm_lineage_1',
  text: `
SELECT pg_is_in_recovery() AS standby,
  (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier,
  CASE WHEN NOT pg_is_in_recovery()
    THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 END AS timeline,
  (SELECT oid::text FROM pg_database WHERE datname = current_database()) || '/' || to_regclass('heads')::oid::text AS storage,
  CASE WHEN NOT pg_is_in_recovery() THEN (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::text END AS lsn,
  current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
    AS synchronous,
  newest.number, newest.system_identifier AS newest_system_identifier, newest.timeline AS newest_timeline,
  newest.storage AS newest_storage, newest.synchronous AS newest_synchronous,
  newest.reason AS newest_reason
FROM (SELECT 1) one LEFT JOIN (SELECT * FROM lineage ORDER BY number DESC LIMIT 1) newest ON true`,
};

/** One row more than was seen, and the clusters with it, or nothing. */
export const NOTICE: Statement = {
  name: 'qm_notice_lineage_1',
  text: `
WITH noticed AS (
  INSERT INTO lineage (number, system_identifier, timeline, storage, synchronous, lsn, reason)
  SELECT $1::int8, $2::text, $3::int4, $4::text, $5::boolean, pg_current_wal_flush_lsn(), $6::text
  WHERE (SELECT coalesce(max(number), 0) FROM lineage) = $7::int8
  ON CONFLICT DO NOTHING
  RETURNING 1
), doubted AS (
  UPDATE clusters SET state = 'recovering', state_reason = $9::text, state_version = state_version + 1
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
    } & NewestRow);

type NewestRow =
  | { readonly number: null }
  | {
      readonly number: number;
      readonly newest_system_identifier: string;
      readonly newest_timeline: number;
      readonly newest_storage: string;
      readonly newest_synchronous: boolean;
      readonly newest_reason: string;
    };

function toView(row: LineageRow & { readonly standby: false }): LineageView {
  return {
    systemIdentifier: row.system_identifier,
    timeline: row.timeline,
    storage: row.storage,
    lsn: BigInt(row.lsn),
    synchronous: row.synchronous,
    newest:
      row.number === null
        ? undefined
        : {
            number: row.number,
            systemIdentifier: row.newest_system_identifier,
            timeline: row.newest_timeline,
            storage: row.newest_storage,
            synchronous: row.newest_synchronous,
            reason: row.newest_reason,
          },
  };
}

function identityOf({ systemIdentifier, timeline, storage }: DatabaseIdentity): DatabaseIdentity {
  return { systemIdentifier, timeline, storage };
}
