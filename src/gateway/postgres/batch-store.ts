import { parseCheckpoint } from '../../note/index.ts';
import type { BatchAnchor, Refusal, SealedBatch } from '../outbox.ts';
import { BATCH_COLUMNS, readBatch } from './batch-row.ts';
import { type Database, outboxFailed, type Query, type Row } from './database.ts';
import type { EventsTable } from './events-table.ts';
import type { OutboxNames } from './names.ts';

/** How long the fate of a batch is remembered for other replicas; they look as often as they flush. */
const REMEMBERED = "interval '15 minutes'";
/** So few at a time that nobody waits for the sweep. */
const SWEPT_AT_ONCE = 200;

/** Statements on sealed batches, each of which is one transaction of its own. */
export class BatchStore {
  readonly #database: Database;
  readonly #names: OutboxNames;
  readonly #taker: string;
  readonly #events: EventsTable | undefined;
  /** request_ids of changes that got no answer: whether they were made is asked when they are tried again */
  readonly #inDoubt = new Set<string>();

  /** @param taker UUID of this process */
  constructor(database: Database, names: OutboxNames, taker: string, events: EventsTable | undefined) {
    this.#database = database;
    this.#names = names;
    this.#taker = taker;
    this.#events = events;
  }

  /** What the function `outbox_take` gives. The same `newId` again finds what the first try sealed. */
  async take(request: {
    readonly leaseMs: number;
    readonly inHand: readonly string[];
    readonly maxLeaves: number;
    readonly mayBePartial: boolean;
    readonly newId: string;
    readonly etcdRevision: bigint;
  }): Promise<SealedBatch | undefined> {
    const { leaseMs, inHand, maxLeaves, mayBePartial, newId, etcdRevision } = request;
    const [row] = await this.#database.run(
      'seal a batch',
      `SELECT ${BATCH_COLUMNS} FROM ${this.#names.take}(
  $1::uuid, $2::bigint * interval '1 millisecond', $3::uuid[], $4::integer, $5::boolean, $6::uuid, $7::bigint)`,
      [this.#taker, leaseMs, inHand, maxLeaves, mayBePartial, newId, etcdRevision.toString()],
    );
    return row === undefined ? undefined : readBatch(row);
  }

  /** @returns how many events there were to mark, and how many were found; undefined where the batch is gone */
  async settle(
    { requestId, eventIds }: SealedBatch,
    { anchorId, checkpoint }: BatchAnchor,
  ): Promise<{ readonly named: number; readonly marked: number } | undefined> {
    const [origin, size] = checkpoint === undefined ? [null, null] : originAndSize(checkpoint);
    const values = [anchorId, requestId, this.#taker, origin, size, checkpoint ?? null];
    const text = settleSql(this.#names, this.#events?.markSql(eventIds));
    let counts = { named: 0, marked: 0 };
    const wasThere = await this.#change('settle a batch', requestId, {
      make: async (query) => {
        const [row] = await query(text, values);
        counts = { named: Number(row?.named), marked: Number(row?.marked) };
        return row?.was_there === true;
      },
      wasMade: (query) =>
        exists(query, `${this.#names.settled} WHERE request_id = $1::uuid AND settled_by = $2::uuid`, [
          requestId,
          this.#taker,
        ]),
    });
    return wasThere ? counts : undefined;
  }

  /** @returns whether the batch was there */
  async split({ requestId }: SealedBatch, parts: readonly SealedBatch[]): Promise<boolean> {
    const { batches, settled } = this.#names;
    let start = 1;
    const starts = parts.map(({ sequences }) => {
      const at = start;
      start += sequences.length;
      return at;
    });
    const values = [
      requestId,
      parts.map((part) => part.requestId),
      parts.map(({ etcdRevision }) => etcdRevision.toString()),
      parts.map(({ enqueuedAtMs }) => Math.trunc(enqueuedAtMs)),
      starts,
      parts.map(({ sequences }) => sequences.length),
    ];
    return await this.#change('split a batch', requestId, {
      make: async (query) => (await query(splitSql(batches), values)).length > 0,
      // The ids of the parts are known to nobody else. They may be settled by now.
      wasMade: (query) =>
        exists(
          query,
          `(SELECT request_id FROM ${batches} UNION ALL SELECT request_id FROM ${settled}) AS known
WHERE request_id = ANY ($1::uuid[])`,
          [parts.map((part) => part.requestId)],
        ),
    });
  }

  /** @returns whether the batch was there, and no dead letter */
  async bury({ requestId }: SealedBatch, refusal: Refusal, buriedAtMs: number): Promise<boolean> {
    const { batches } = this.#names;
    const words = [refusal.status, refusal.reason, refusal.message].map(storable);
    return await this.#change('bury a batch', requestId, {
      make: async (query) =>
        await changesRow(
          query,
          `UPDATE ${batches}
SET buried_at = to_timestamp($2::bigint / 1000.0), refusal_status = $3, refusal_reason = $4, refusal_message = $5,
  leased_by = $6::uuid, leased_until = NULL
WHERE request_id = $1::uuid AND buried_at IS NULL RETURNING 1`,
          [requestId, Math.trunc(buriedAtMs), ...words, this.#taker],
        ),
      wasMade: (query) =>
        exists(
          query,
          `${batches} WHERE request_id = $1::uuid AND buried_at IS NOT NULL AND leased_by = $2::uuid`,
          [requestId, this.#taker],
        ),
    });
  }

  /** @returns whether there was such a dead letter */
  async revive(requestId: string): Promise<boolean> {
    const { batches } = this.#names;
    return await this.#change('revive a dead letter', requestId, {
      make: async (query) =>
        await changesRow(
          query,
          `UPDATE ${batches} SET buried_at = NULL, refusal_status = NULL, refusal_reason = NULL, refusal_message = NULL,
  leased_by = NULL, leased_until = NULL
WHERE request_id = $1::uuid AND buried_at IS NOT NULL RETURNING 1`,
          [requestId],
        ),
      wasMade: (query) =>
        exists(query, `${batches} WHERE request_id = $1::uuid AND buried_at IS NULL`, [requestId]),
    });
  }

  /** @returns whether there was such a dead letter */
  async discard(requestId: string): Promise<boolean> {
    const { batches } = this.#names;
    return await this.#change('discard a dead letter', requestId, {
      make: async (query) =>
        await changesRow(
          query,
          `DELETE FROM ${batches} WHERE request_id = $1::uuid AND buried_at IS NOT NULL RETURNING 1`,
          [requestId],
        ),
      // Had somebody else revived it meanwhile it would be there, or settled.
      wasMade: async (query) =>
        !(await exists(
          query,
          `(SELECT request_id FROM ${batches} UNION ALL SELECT request_id FROM ${this.#names.settled}) AS known
WHERE request_id = $1::uuid`,
          [requestId],
        )),
    });
  }

  /** Forgets what nobody asks for any more. */
  async sweep(): Promise<void> {
    const { settled } = this.#names;
    for (;;) {
      const swept = await this.#database.run(
        'forget what was settled long ago',
        `DELETE FROM ${settled} WHERE request_id = ANY (ARRAY(
  SELECT request_id FROM ${settled} WHERE settled_at < clock_timestamp() - ${REMEMBERED}
  ORDER BY settled_at LIMIT ${SWEPT_AT_ONCE} FOR UPDATE SKIP LOCKED)) RETURNING 1`,
      );
      // As many as there are: a busy gateway settles more in a minute than are forgotten at once.
      if (swept.length < SWEPT_AT_ONCE) return;
    }
  }

  /** @returns whether the change was made, by this try or by one before it whose answer was lost */
  async #change(
    doing: string,
    requestId: string,
    {
      make,
      wasMade,
    }: { make: (query: Query) => Promise<boolean>; wasMade: (query: Query) => Promise<boolean> },
  ): Promise<boolean> {
    try {
      const made = await this.#database.session(
        doing,
        async (query, mayBeDone) =>
          (await make(query)) ||
          // A statement of its own: it sees what the first one had to wait for.
          ((mayBeDone || this.#inDoubt.has(requestId)) && (await wasMade(query))),
      );
      this.#inDoubt.delete(requestId);
      return made;
    } catch (error) {
      this.#inDoubt.add(requestId);
      throw error;
    }
  }
}

async function changesRow(query: Query, text: string, values: readonly unknown[]): Promise<boolean> {
  return (await query(text, values)).length > 0;
}

async function exists(query: Query, what: string, values: readonly unknown[]): Promise<boolean> {
  const [row] = await query(`SELECT EXISTS (SELECT 1 FROM ${what}) AS found`, values);
  return row?.found === true;
}

/** Cuts the stored batch: the leaves do not travel again. */
function splitSql(batches: string): string {
  return `WITH gone AS (
  DELETE FROM ${batches} WHERE request_id = $1::uuid AND buried_at IS NULL
  RETURNING leaves, sequences, event_ids, sealed_at
)
INSERT INTO ${batches}
  (request_id, first_sequence, last_sequence, etcd_revision, leaves, sequences, event_ids, enqueued_at, sealed_at)
SELECT part.id, sequences[start], sequences[start + count - 1], part.revision, substring(leaves FROM 32 * (start - 1) + 1 FOR 32 * count),
  sequences[start : start + count - 1], event_ids[start : start + count - 1],
  to_timestamp(part.enqueued_at_ms / 1000.0), sealed_at
FROM gone, unnest($2::uuid[], $3::bigint[], $4::bigint[], $5::integer[], $6::integer[])
  AS part (id, revision, enqueued_at_ms, start, count)
RETURNING 1`;
}

/** Everything that an answer changes, in one transaction: the outbox's tables and the gateway's own. */
function settleSql(names: OutboxNames, markSql: string | undefined): string {
  const marked = markSql === undefined ? '' : `, marked AS (\n${markSql}\n)`;
  const counts =
    markSql === undefined
      ? "'0' AS named, '0' AS marked"
      : `(SELECT count(id) FROM gone, unnest(gone.event_ids) AS id)::text AS named,
  (SELECT count(*) FROM marked)::text AS marked`;
  return `WITH gone AS (
  DELETE FROM ${names.batches} WHERE request_id = $2::uuid RETURNING request_id, sequences, first_sequence, last_sequence, event_ids
), remembered AS (
  INSERT INTO ${names.settled} (request_id, anchor_id, sequences, first_sequence, last_sequence, settled_by)
  SELECT request_id, $1::text, sequences, first_sequence, last_sequence, $3::uuid FROM gone
  ON CONFLICT (request_id) DO NOTHING
), kept AS (
  INSERT INTO ${names.checkpoints} AS stored (origin, size, note)
  SELECT $4::text, $5::bigint, $6::text WHERE $6::text IS NOT NULL
  ON CONFLICT (origin) DO UPDATE SET size = excluded.size, note = excluded.note, kept_at = excluded.kept_at
  WHERE stored.size < excluded.size
)${marked}
SELECT EXISTS (SELECT 1 FROM gone) AS was_there, ${counts}`;
}

function originAndSize(note: string): [string, string] {
  try {
    const { origin, size } = parseCheckpoint(note).checkpoint;
    return [origin, String(size)];
  } catch (error) {
    throw outboxFailed('keep a checkpoint', error);
  }
}

/** Text of the notary's may hold what Postgres cannot. */
function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}

export function readRefusal(row: Row): Refusal {
  return {
    status: String(row.refusal_status),
    reason: String(row.refusal_reason),
    message: String(row.refusal_message),
  };
}
