// The outbox's own tables, as numbered SQL. What was released once is never changed, only added to.

import { DEFAULT_SCHEMA, type OutboxNames, outboxNames, quoteLiteral } from './names.ts';

interface Migration {
  readonly version: number;
  readonly sql: (names: OutboxNames) => string;
}

/** What this version of the library needs. */
export const NEEDED_VERSION = 1;

const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: (names) => `
-- Leaves that are not sealed yet. A row is there from the commit of the event to the commit of its batch, so whoever looks sees
-- all that wait: no position is remembered that a slow transaction with a lower sequence could be overtaken by.
CREATE TABLE ${names.leaves} (
  sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  leaf        bytea NOT NULL CHECK (octet_length(leaf) = 32),
  event_id    text,
  enqueued_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
  -- Every row is deleted soon. Dead ones are swept by their number, not by their share of a table that is mostly empty.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 1000000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000,
  autovacuum_vacuum_cost_delay = 0
);

-- Sealed batches, and dead letters (buried_at is set). Members, order and request_id never change.
CREATE TABLE ${names.batches} (
  request_id      uuid PRIMARY KEY,
  first_sequence  bigint NOT NULL,
  last_sequence   bigint NOT NULL,
  etcd_revision   bigint NOT NULL,
  leaves          bytea NOT NULL CHECK (octet_length(leaves) = 32 * cardinality(sequences)),
  sequences       bigint[] NOT NULL,
  event_ids       text[] NOT NULL CHECK (cardinality(event_ids) = cardinality(sequences)),
  enqueued_at     timestamptz NOT NULL,
  sealed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Who sends it, and until when nobody else tries. That two send it is harmless.
  leased_by       uuid,
  leased_until    timestamptz,
  buried_at       timestamptz,
  refusal_status  text,
  refusal_reason  text,
  refusal_message text
) WITH (
  -- Room for renewed leases on the same page.
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000
);
-- Digests do not compress.
ALTER TABLE ${names.batches} ALTER COLUMN leaves SET STORAGE EXTERNAL;
CREATE INDEX outbox_batches_waiting ON ${names.batches} (first_sequence) WHERE buried_at IS NULL;
CREATE INDEX outbox_batches_dead ON ${names.batches} (buried_at, first_sequence) WHERE buried_at IS NOT NULL;

-- What became of batches in the last minutes, for the replica in which somebody waits for a leaf that another one sent, and for
-- whoever lost the answer to his own settling.
CREATE TABLE ${names.settled} (
  request_id     uuid PRIMARY KEY,
  anchor_id      text NOT NULL,
  sequences      bigint[] NOT NULL,
  first_sequence bigint NOT NULL,
  last_sequence  bigint NOT NULL,
  settled_by     uuid NOT NULL,
  settled_at     timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200,
  toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 10000
);
CREATE INDEX outbox_settled_at ON ${names.settled} (settled_at);

-- The newest checkpoint of each log, as it was verified.
CREATE TABLE ${names.checkpoints} (
  origin  text PRIMARY KEY,
  size    bigint NOT NULL,
  note    text NOT NULL,
  kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- What proves that a notary contradicted itself.
CREATE TABLE ${names.evidence} (
  number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kept_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  evidence text NOT NULL
);

-- The next batch: the oldest sealed one that nobody has in hand (or that the taker has without knowing, since the answer was
-- lost), else a new one of the oldest leaves. One statement is one transaction and one round trip. A function, because only so
-- the planner's choice can be fixed without session state: a queue is empty and full in turns, and plans by statistics of the
-- one are very slow in the other.
CREATE FUNCTION ${names.take}(
  taker uuid, lease interval, in_hand uuid[], most integer, may_be_partial boolean, new_id uuid, revision bigint
) RETURNS SETOF ${names.batches}
LANGUAGE plpgsql
SET enable_indexscan = on SET enable_tidscan = on
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
AS $function$
DECLARE
  picked tid[];
BEGIN
  RETURN QUERY
    UPDATE ${names.batches} AS batch
    SET leased_by = taker, leased_until = clock_timestamp() + lease
    WHERE batch.request_id = (
      SELECT waiting.request_id FROM ${names.batches} AS waiting
      WHERE waiting.buried_at IS NULL
        AND (waiting.leased_until IS NULL OR waiting.leased_until < clock_timestamp()
          OR (waiting.leased_by = taker AND waiting.request_id <> ALL (in_hand)))
      ORDER BY waiting.first_sequence LIMIT 1
      FOR UPDATE SKIP LOCKED
    )
    RETURNING batch.*;
  IF FOUND THEN RETURN; END IF;

  IF NOT may_be_partial THEN
    -- Looked at first: to lock what is not taken would write to every row.
    PERFORM 1 FROM ${names.leaves} ORDER BY sequence OFFSET most - 1 LIMIT 1;
    IF NOT FOUND THEN RETURN; END IF;
  END IF;
  -- Rows that another one is sealing are passed over. Nobody updates rows, so that a locked one stays where it is.
  picked := ARRAY(SELECT ctid FROM ${names.leaves} ORDER BY sequence LIMIT most FOR UPDATE SKIP LOCKED);
  IF cardinality(picked) = 0 OR (cardinality(picked) < most AND NOT may_be_partial) THEN RETURN; END IF;
  RETURN QUERY
    WITH gone AS (
      DELETE FROM ${names.leaves} AS queued WHERE queued.ctid = ANY (picked)
      RETURNING queued.sequence, queued.leaf, queued.event_id, queued.enqueued_at
    )
    INSERT INTO ${names.batches} AS batch
      (request_id, first_sequence, last_sequence, etcd_revision, leaves, sequences, event_ids, enqueued_at, leased_by,
        leased_until)
    SELECT new_id, min(gone.sequence), max(gone.sequence), revision, string_agg(gone.leaf, ''::bytea ORDER BY gone.sequence),
      array_agg(gone.sequence ORDER BY gone.sequence), array_agg(gone.event_id ORDER BY gone.sequence),
      min(gone.enqueued_at), taker, clock_timestamp() + lease
    FROM gone
    RETURNING batch.*;
END
$function$;
`,
  },
];

export interface MigrationSqlOptions {
  /** Where the outbox's tables live. Default: `quartermaster_outbox`. */
  readonly schema?: string | undefined;
  /** Only what came after this version. Default: 0, everything. */
  readonly since?: number | undefined;
}

/**
 * The SQL that {@link PostgresOutbox.migrate} runs, for people with a migration tool of their own: to be run once, in one
 * transaction, by a role that may create the schema.
 *
 * @example
 * await writeFile('migrations/007-outbox.sql', outboxMigrationSql());
 */
export function outboxMigrationSql({ schema = DEFAULT_SCHEMA, since = 0 }: MigrationSqlOptions = {}): string {
  const names = outboxNames(schema);
  const parts = since === 0 ? [beginningSql(schema)] : [];
  for (const { version, sql } of migrationsAfter(since)) parts.push(sql(names), recordSql(names, version));
  return parts.join('').trimStart();
}

/** @internal */
export function migrationsAfter(version: number): readonly Migration[] {
  return MIGRATIONS.filter((migration) => migration.version > version);
}

/** Harmless where all is there already, and then without the right to create a schema. @internal */
export function beginningSql(schema: string): string {
  const names = outboxNames(schema);
  return `DO $do$
BEGIN
  IF to_regnamespace(${quoteLiteral(names.schema)}) IS NULL THEN CREATE SCHEMA ${names.schema}; END IF;
END
$do$;
CREATE TABLE IF NOT EXISTS ${names.migrations} (
  version    integer PRIMARY KEY,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
`;
}

/** @internal */
export function recordSql(names: OutboxNames, version: number): string {
  return `INSERT INTO ${names.migrations} (version) VALUES (${version});\n`;
}
