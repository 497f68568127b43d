import { GatewayError } from '../error.ts';
import type { Query } from './database.ts';
import { type EventsOptions, eventsNames } from './events-options.ts';
import { type OutboxNames, quoteIdentifier } from './names.ts';

/** Events that are missing, of which there should be none: a page reads the whole outbox. */
const PAGE = 10_000;

const INTEGERS: Readonly<Record<string, readonly [string, string]>> = {
  bigint: ['-9223372036854775808', '9223372036854775807'],
  integer: ['-2147483648', '2147483647'],
  smallint: ['-32768', '32767'],
};
const TEXTS: ReadonlySet<string> = new Set(['text', 'character varying']);

/** The gateway's own table, as it was found: how anchors get into it, and which of its events have none. */
export class EventsTable {
  readonly #markSql: { readonly plain: string; readonly guarded: string };
  readonly #eventIdType: string;
  /** keyset pages of events that have no anchor and no leaf in the outbox; $1 is the last id, NULL at first */
  readonly missingSql: string;
  readonly missingValues: readonly unknown[];
  readonly pageSize = PAGE;

  private constructor(options: EventsOptions, table: string, types: EventTypes, outbox: OutboxNames) {
    const { eventId, notarized, anchorId, leafIndex, only } = eventsNames(options);
    const id = quoteIdentifier(eventId);
    const anchor = quoteIdentifier(anchorId);
    const flag = notarized === undefined ? '' : `${quoteIdentifier(notarized)} = true, `;
    // Of an event with two leaves in one batch the later one counts. The order makes two who update the same rows queue.
    const markSql = (castSql: string): string => `UPDATE ${table} AS event
SET ${flag}${anchor} = $1::text::${types.anchorId}, ${quoteIdentifier(leafIndex)} = (named.position - 1)::integer
FROM (
  SELECT DISTINCT ON (id) id, position FROM (
    SELECT ${castSql} AS id, position
    FROM gone, unnest(gone.event_ids) WITH ORDINALITY AS member (text_id, position) OFFSET 0
  ) AS cast_ids WHERE id IS NOT NULL ORDER BY id, position DESC
) AS named
WHERE event.${id} = named.id
RETURNING 1`;
    this.#markSql = {
      plain: markSql(`text_id::${types.eventId}`),
      guarded: markSql(guardedCast('text_id', types.eventId)),
    };
    this.#eventIdType = types.eventId;
    const filters = only.map(
      ({ column }, index) => `AND event.${quoteIdentifier(column)}::text = ANY ($${index + 2}::text[])`,
    );
    const castOutbox = guardedCast('held.text_id', types.eventId);
    this.missingSql = `SELECT event.${id}::text AS event_id FROM ${table} AS event
WHERE event.${anchor} IS NULL ${filters.join(' ')}
  AND ($1::text IS NULL OR event.${id} > $1::text::${types.eventId})
  AND NOT EXISTS (
    SELECT 1 FROM (
      SELECT event_id AS text_id FROM ${outbox.leaves}
      UNION ALL SELECT unnest(event_ids) FROM ${outbox.batches}
    ) AS held WHERE ${castOutbox} = event.${id}
  )
ORDER BY event.${id} LIMIT ${PAGE}`;
    this.missingValues = only.map(({ values }) => values);
  }

  /**
   * UPDATE of the events of the batch that the CTE `gone` deleted; $1 is the anchor's id. Has one row for each event.
   *
   * @param eventIds of that batch: where all are such as the column holds, none is judged in SQL, which takes far longer than all
   *   the rest
   */
  markSql(eventIds: readonly (string | undefined)[]): string {
    const type = this.#eventIdType;
    const allFit = eventIds.every((eventId) => eventId === undefined || isOfType(eventId, type));
    return allFit ? this.#markSql.plain : this.#markSql.guarded;
  }

  /**
   * Looks the table up.
   *
   * @throws {GatewayError} OUTBOX_FAILED where it is not there, or not as described
   */
  static async find(query: Query, options: EventsOptions, outbox: OutboxNames): Promise<EventsTable> {
    const names = eventsNames(options);
    const found = await query(
      `SELECT quote_ident(nspname) || '.' || quote_ident(relname) AS name
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE pg_class.oid = to_regclass($1)`,
      [names.table],
    );
    const table = found[0]?.name;
    if (typeof table !== 'string') throw unfit(`there is no table ${names.table}`);
    const columns = await columnsOf(query, table);
    const typeOf = (column: string, fits: (type: string) => boolean, wanted: string): string => {
      const type = columns.get(column);
      if (type === undefined) throw unfit(`${table} has no column ${quoteIdentifier(column)}`);
      if (!fits(type)) throw unfit(`${table}.${quoteIdentifier(column)} is of type ${type}, not ${wanted}`);
      return type;
    };
    const isText = (type: string): boolean => TEXTS.has(type);
    const types = {
      eventId: typeOf(
        names.eventId,
        (type) => type === 'uuid' || type in INTEGERS || isText(type),
        'uuid, bigint, integer, smallint, text or varchar',
      ),
      anchorId: typeOf(names.anchorId, (type) => type === 'uuid' || isText(type), 'uuid, text or varchar'),
    };
    typeOf(names.leafIndex, (type) => type === 'integer' || type === 'bigint', 'integer or bigint');
    if (names.notarized !== undefined) typeOf(names.notarized, (type) => type === 'boolean', 'boolean');
    for (const { column } of names.only) typeOf(column, () => true, 'any');
    return new EventsTable(options, table, types, outbox);
  }
}

interface EventTypes {
  readonly eventId: string;
  readonly anchorId: string;
}

/** Types of columns by name; of a domain what it is made of. */
async function columnsOf(query: Query, table: string): Promise<ReadonlyMap<string, string>> {
  const rows = await query(
    `WITH RECURSIVE types AS (
  SELECT attname::text AS name, atttypid AS type FROM pg_attribute
  WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
  UNION ALL
  SELECT name, typbasetype FROM types JOIN pg_type ON pg_type.oid = type WHERE typtype = 'd'
)
SELECT name, format_type(type, NULL) AS type FROM types JOIN pg_type ON pg_type.oid = type WHERE typtype <> 'd'`,
    [table],
  );
  return new Map(rows.map(({ name, type }) => [String(name), String(type)]));
}

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

function isOfType(eventId: string, type: string): boolean {
  if (type === 'uuid') return UUID.test(eventId);
  const range = INTEGERS[type];
  if (range === undefined) return true;
  if (!/^-?[0-9]{1,19}$/.test(eventId)) return false;
  const value = BigInt(eventId);
  return value >= BigInt(range[0]) && value <= BigInt(range[1]);
}

/**
 * A text as the type of the column, so that its index is used; NULL for a text that is none, which would otherwise fail the
 * whole batch for ever.
 */
function guardedCast(text: string, type: string): string {
  if (type === 'uuid') {
    const digits = (count: number): string => `[0-9a-fA-F]{${count}}`;
    const pattern = [8, 4, 4, 4, 12].map(digits).join('-');
    return `CASE WHEN ${text} ~ '^${pattern}$' THEN ${text}::uuid END`;
  }
  const range = INTEGERS[type];
  if (range === undefined) return text;
  const [least, most] = range;
  const inRange = `CASE WHEN ${text}::numeric BETWEEN ${least} AND ${most} THEN ${text}::${type} END`;
  return `CASE WHEN length(${text}) <= 20 AND ${text} ~ '^-?[0-9]+$' THEN ${inRange} END`;
}

function unfit(what: string): GatewayError {
  return new GatewayError(
    'OUTBOX_FAILED',
    `the table of events does not fit: ${what}; see the option \`events\` of postgresOutbox`,
  );
}
