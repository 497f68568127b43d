import { Client } from 'pg';

/** One row of `audit_events`, as far as an auditor needs it. */
export interface EventRow {
  /** What the digest covers, field by field under the names that the service hashed. */
  readonly event: {
    readonly event_id: string;
    readonly occurred_at: string;
    readonly actor: string;
    readonly action: string;
    readonly subject: string;
  };
  readonly salt: Uint8Array;
  /** undefined: not anchored, or not yet */
  readonly anchor: { readonly anchorId: string; readonly leafIndex: number } | undefined;
}

/** @throws Error where there is no such row, or it holds what the service never wrote */
export async function readRow(databaseUrl: string, eventId: string): Promise<EventRow> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ row: unknown }>(
      'SELECT to_json(audit_events) AS row FROM audit_events WHERE event_id = $1',
      [eventId],
    );
    if (rows[0] === undefined) throw new Error(`the database has no event ${eventId}`);
    return parseRow(rows[0].row);
  } finally {
    await client.end();
  }
}

/**
 * A row as JSON, from the service (`GET /audit-events/:id`) or from Postgres (`to_json`). The two spell times and bytes
 * differently; the digest is of one spelling.
 *
 * @throws Error where it holds what the service never wrote
 */
export function parseRow(json: unknown): EventRow {
  const row = json as Readonly<Record<string, unknown>>;
  const text = (name: string): string => {
    const value = row[name];
    if (typeof value !== 'string') throw new Error(`the row has no text in ${name}`);
    return value;
  };
  const eventId = text('event_id');
  // It names a file, and rows are what we do not trust.
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(eventId)) throw new Error('event_id is no UUID');
  const occurredAt = new Date(text('occurred_at'));
  if (Number.isNaN(occurredAt.getTime())) throw new Error('occurred_at is no time');
  const [, salt] = /^(?:\\x)?([0-9a-f]{32})$/.exec(text('salt')) ?? [];
  if (salt === undefined) throw new Error('salt is not 16 bytes in hex');
  return {
    event: {
      event_id: eventId,
      occurred_at: occurredAt.toISOString(),
      actor: text('actor'),
      action: text('action'),
      subject: text('subject'),
    },
    salt: Buffer.from(salt, 'hex'),
    anchor: row.anchor_id ? { anchorId: text('anchor_id'), leafIndex: Number(row.leaf_index) } : undefined,
  };
}
