// The gateway's own transaction takes the leaf with it: both are there, or neither.

import type { CompiledQuery } from 'kysely';
import { GatewayError } from '../error.ts';
import type { OutboxNames } from './names.ts';

const LEAF_SIZE = 32;

/** A leaf and the event it is of. */
export interface LeafOfEvent {
  /** 32 bytes; copied */
  readonly leaf: Uint8Array;
  /** As it is in the gateway's own table, as text; without it no row is written back to. */
  readonly eventId?: string | undefined;
}

/** An open transaction: a client of `pg` after its BEGIN, or a `Transaction` of Kysely with the Postgres dialect. */
export type PostgresTransaction = PgTransaction | KyselyTransaction;

export interface PgTransaction {
  query(statement: { text: string; values?: unknown[] }): Promise<unknown>;
}

export interface KyselyTransaction {
  executeQuery(query: CompiledQuery): Promise<unknown>;
}

/** Leaves as the two parameters that `insertSql` has as $1 and $2. @throws {GatewayError} BAD_EVENT */
export function leafParameters(leaves: readonly LeafOfEvent[]): [Buffer, (string | null)[]] {
  const packed = Buffer.allocUnsafe(leaves.length * LEAF_SIZE);
  const eventIds = leaves.map(({ leaf, eventId }, index) => {
    packed.set(checkLeaf(leaf), index * LEAF_SIZE);
    return eventId === undefined ? null : checkEventId(eventId);
  });
  return [packed, eventIds];
}

export function checkLeaf(leaf: Uint8Array): Uint8Array {
  if (leaf instanceof Uint8Array && leaf.length === LEAF_SIZE) return leaf;
  const what = leaf instanceof Uint8Array ? `one of ${leaf.length}` : `a ${typeof leaf}`;
  throw new GatewayError('BAD_EVENT', `a leaf is a Uint8Array of ${LEAF_SIZE} bytes, not ${what}`);
}

/** What Postgres cannot store as it is would fail the transaction, and with it whatever else is in there. */
export function checkEventId(eventId: string): string {
  if (typeof eventId === 'string' && eventId.isWellFormed() && !eventId.includes('\0')) return eventId;
  throw new GatewayError('BAD_EVENT', 'an event id is a string of well-formed Unicode without U+0000');
}

/** Inserts in the order given: $1 and $2 are the leaves, `enqueuedAtMs` is a term of SQL. */
export function insertSql({ leaves }: OutboxNames, enqueuedAtMs: string): string {
  return `INSERT INTO ${leaves} (leaf, event_id, enqueued_at)
SELECT substring($1::bytea FROM (32 * (position - 1) + 1)::integer FOR 32), event_id, to_timestamp(${enqueuedAtMs} / 1000.0)
FROM unnest($2::text[]) WITH ORDINALITY AS given (event_id, position) ORDER BY position`;
}

/** Runs the statement in the caller's transaction. Its errors are the caller's, unchanged: he knows what to do about them. */
export async function runIn(tx: PostgresTransaction, text: string, values: unknown[]): Promise<void> {
  if ('executeQuery' in tx) {
    // What `CompiledQuery.raw` makes, without loading kysely for those who do not use it.
    await tx.executeQuery({
      sql: text,
      parameters: values,
      query: { kind: 'RawNode', sqlFragments: [text], parameters: [] },
      queryId: { queryId: 'quartermaster-enqueue' },
    } as CompiledQuery);
  } else {
    await tx.query({ text, values });
  }
}
