import type pg from 'pg';

/** The table that gateways have, with what this one keeps besides. */
export const AUDIT_EVENTS = `
CREATE TABLE audit_events (
  event_id   uuid PRIMARY KEY,
  number     bigint GENERATED ALWAYS AS IDENTITY,
  event      jsonb NOT NULL,
  salt       bytea NOT NULL,
  leaf       bytea NOT NULL,
  notarized  boolean NOT NULL DEFAULT false,
  anchor_id  uuid,
  leaf_index integer,
  receipt    text
)`;

export interface AuditEvent {
  readonly eventId: string;
  readonly event: object;
  readonly salt: Uint8Array;
  readonly leaf: Uint8Array;
}

export async function insertEvent(
  client: pg.ClientBase,
  { eventId, event, salt, leaf }: AuditEvent,
): Promise<void> {
  await client.query('INSERT INTO audit_events (event_id, event, salt, leaf) VALUES ($1, $2, $3, $4)', [
    eventId,
    event,
    salt,
    leaf,
  ]);
}

/** Those without an anchor, in the order of their commits. */
export async function eventsWithoutAnchor(
  database: pg.Pool,
): Promise<{ readonly eventId: string; readonly leaf: Uint8Array }[]> {
  const { rows } = await database.query<{ event_id: string; leaf: Buffer }>(
    'SELECT event_id, leaf FROM audit_events WHERE anchor_id IS NULL ORDER BY number',
  );
  return rows.map(({ event_id, leaf }) => ({ eventId: event_id, leaf }));
}

/** Idempotent, since a batch may be told twice. */
export async function writeAnchor(
  database: pg.Pool,
  eventId: string,
  {
    anchorId,
    leafIndex,
    receipt,
  }: { readonly anchorId: string; readonly leafIndex: number; readonly receipt: string },
): Promise<void> {
  await database.query(
    'UPDATE audit_events SET notarized = true, anchor_id = $2, leaf_index = $3, receipt = $4 WHERE event_id = $1',
    [eventId, anchorId, leafIndex, receipt],
  );
}
