// Long lists, a page at a time: no page waits for its reader with a transaction open, and none is all of it.

import type { DeadLetter, SettledElsewhere, UnanchoredLeaf } from '../outbox.ts';
import { leavesOf } from '../sealed-batch.ts';
import { BATCH_COLUMNS, epochMs, readBatch } from './batch-row.ts';
import { readRefusal } from './batch-store.ts';
import type { Database } from './database.ts';
import type { EventsTable } from './events-table.ts';
import type { OutboxNames } from './names.ts';

const LEAVES_PAGE = 1_000;
/** Each may have as many leaves as a batch has. */
const BATCHES_PAGE = 8;
/** The digest of an event that only the gateway's own table has is not known here. */
const NO_LEAF = new Uint8Array(0);

export class Listing {
  readonly #database: Database;
  readonly #names: OutboxNames;
  readonly #events: EventsTable | undefined;

  constructor(database: Database, names: OutboxNames, events: EventsTable | undefined) {
    this.#database = database;
    this.#names = names;
    this.#events = events;
  }

  async *deadLetters(): AsyncGenerator<DeadLetter> {
    let last: readonly [unknown, unknown] = ['-1000000000000', '0'];
    for (;;) {
      const rows = await this.#database.run(
        'list dead letters',
        `SELECT ${BATCH_COLUMNS}, first_sequence::text AS first_sequence, ${epochMs('buried_at')} AS buried_at_ms,
  refusal_status, refusal_reason, refusal_message
FROM ${this.#names.batches} AS batch
WHERE buried_at IS NOT NULL AND (buried_at, first_sequence) > (to_timestamp($1::bigint / 1000.0), $2::bigint)
ORDER BY batch.buried_at, batch.first_sequence LIMIT ${BATCHES_PAGE}`,
        last,
      );
      for (const row of rows) {
        const batch = readBatch(row);
        last = [row.buried_at_ms, row.first_sequence];
        yield {
          id: batch.requestId,
          refusal: readRefusal(row),
          buriedAtMs: Number(row.buried_at_ms),
          leaves: leavesOf(batch),
        };
      }
      if (rows.length < BATCHES_PAGE) return;
    }
  }

  /**
   * Batches, then the queue, then what was sealed out of the queue meanwhile: a leaf that moves on during the listing may be
   * told twice, never left out.
   */
  async *unanchored(): AsyncGenerator<UnanchoredLeaf> {
    const [clock] = await this.#database.run(
      'ask for the time',
      'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS us',
    );
    const startUs = String(clock?.us);
    yield* this.#batches('<', startUs);
    yield* this.#queued();
    yield* this.#batches('>=', startUs);
    if (this.#events !== undefined) yield* this.#missing(this.#events);
  }

  /** What became of leaves that another process may have sent. */
  async settled(sequences: readonly number[]): Promise<ReadonlyMap<number, SettledElsewhere>> {
    const found = new Map<number, SettledElsewhere>();
    if (sequences.length === 0) return found;
    const { settled, batches } = this.#names;
    const rows = await this.#database.run(
      'ask what others have settled',
      `SELECT asked::text AS sequence, (position - 1)::text AS leaf_index, anchor_id, NULL AS refusal_status,
  NULL AS refusal_reason, NULL AS refusal_message
FROM ${settled} AS batch, unnest(batch.sequences) WITH ORDINALITY AS member (asked, position)
WHERE int8range(first_sequence, last_sequence, '[]') && $2::int8multirange AND asked = ANY ($1::bigint[])
UNION ALL
SELECT asked::text, NULL, NULL, refusal_status, refusal_reason, refusal_message
FROM ${batches} AS batch, unnest(batch.sequences) AS asked
WHERE buried_at IS NOT NULL AND int8range(first_sequence, last_sequence, '[]') && $2::int8multirange
  AND asked = ANY ($1::bigint[])`,
      // The ranges are searched in steps that halve: only batches that may hold one of them are taken apart.
      [sequences, multirangeOf(sequences)],
    );
    for (const row of rows) {
      const isDead = row.anchor_id === null;
      found.set(
        Number(row.sequence),
        isDead
          ? { refusal: readRefusal(row) }
          : { anchorId: String(row.anchor_id), leafIndex: Number(row.leaf_index) },
      );
    }
    return found;
  }

  async *#batches(sealed: '<' | '>=', startUs: string): AsyncGenerator<UnanchoredLeaf> {
    let last: unknown = '0';
    for (;;) {
      const rows = await this.#database.run(
        'list sealed batches',
        `SELECT ${BATCH_COLUMNS}, first_sequence::text AS first_sequence, buried_at IS NOT NULL AS is_dead
FROM ${this.#names.batches} AS batch
WHERE first_sequence > $1::bigint AND (extract(epoch FROM sealed_at) * 1000000)::bigint ${sealed} $2::bigint
ORDER BY batch.first_sequence LIMIT ${BATCHES_PAGE}`,
        [last, startUs],
      );
      for (const row of rows) {
        const batch = readBatch(row);
        const state = row.is_dead === true ? 'dead' : 'sealed';
        last = row.first_sequence;
        for (const leaf of leavesOf(batch)) yield { ...leaf, state, enqueuedAtMs: batch.enqueuedAtMs };
      }
      if (rows.length < BATCHES_PAGE) return;
    }
  }

  async *#queued(): AsyncGenerator<UnanchoredLeaf> {
    let last: unknown = '0';
    for (;;) {
      const rows = await this.#database.run(
        'list what is queued',
        `SELECT sequence::text AS sequence, encode(leaf, 'hex') AS leaf, event_id, ${epochMs('enqueued_at')} AS enqueued_at_ms
FROM ${this.#names.leaves} AS queued WHERE sequence > $1::bigint ORDER BY queued.sequence LIMIT ${LEAVES_PAGE}`,
        [last],
      );
      for (const row of rows) {
        last = row.sequence;
        yield {
          leaf: Uint8Array.from(Buffer.from(String(row.leaf), 'hex')),
          eventId: row.event_id === null ? undefined : String(row.event_id),
          state: 'queued',
          enqueuedAtMs: Number(row.enqueued_at_ms),
        };
      }
      if (rows.length < LEAVES_PAGE) return;
    }
  }

  async *#missing(events: EventsTable): AsyncGenerator<UnanchoredLeaf> {
    let last: unknown = null;
    for (;;) {
      const rows = await this.#database.run('list events without a leaf', events.missingSql, [
        last,
        ...events.missingValues,
      ]);
      for (const row of rows) {
        last = row.event_id;
        yield { leaf: NO_LEAF, eventId: String(row.event_id), state: 'missing', enqueuedAtMs: undefined };
      }
      if (rows.length < events.pageSize) return;
    }
  }
}

/** The numbers as text of an int8multirange: `{[1,3],[7,7]}`. */
function multirangeOf(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && number <= last[1] + 1) last[1] = number;
    else runs.push([number, number]);
  }
  return `{${runs.map(([from, to]) => `[${from},${to}]`).join(',')}}`;
}
