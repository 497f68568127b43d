import { randomUUID } from 'node:crypto';
import type { Pool, PoolClient } from 'pg';
import { type Classification, commitEvent, type Fidelity, shouldNotarize } from 'quartermaster/gateway';
import type { PostgresOutbox } from 'quartermaster/gateway/postgres';

/** What the digest covers: a column of `audit_events` each, by the same name. */
export interface AuditEvent {
  readonly event_id: string;
  /** RFC 3339 in UTC with milliseconds */
  readonly occurred_at: string;
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
}

/** A row as an auditor gets it: the event, what opens its digest, and where it is anchored. */
export interface AuditRow extends AuditEvent {
  /** hex */
  readonly salt: string;
  readonly notarize: boolean;
  readonly notarized: boolean;
  readonly anchor_id: string | null;
  readonly leaf_index: number | null;
}

export interface Deed {
  readonly actor: string;
  readonly action: string;
  readonly subject: string;
  readonly classification: Classification;
  readonly fidelity?: Fidelity;
}

export class AuditLog {
  readonly #pool: Pool;
  readonly #outbox: PostgresOutbox;

  constructor(pool: Pool, outbox: PostgresOutbox) {
    this.#pool = pool;
    this.#outbox = outbox;
  }

  /**
   * Writes the event down in the transaction of the deed itself: its row, its salt and, for the notary, its digest. The notary
   * has no part in this: the drainer brings it the digest later, and writes anchor_id and leaf_index to the row.
   *
   * @returns the event's id
   */
  async record(tx: PoolClient, deed: Deed): Promise<string> {
    const { actor, action, subject, classification, fidelity } = deed;
    const event: AuditEvent = {
      event_id: randomUUID(),
      occurred_at: new Date().toISOString(),
      actor,
      action,
      subject,
    };
    const { leaf, salt } = commitEvent(event);
    const notarize = shouldNotarize(classification, fidelity);
    await tx.query(
      `INSERT INTO audit_events (event_id, occurred_at, actor, action, subject, salt, notarize)
       VALUES ($1, $2, $3, $4, $5, $6, $7)`,
      [event.event_id, event.occurred_at, actor, action, subject, salt, notarize],
    );
    if (notarize) await this.#outbox.enqueue(tx, { leaf, eventId: event.event_id });
    return event.event_id;
  }

  async find(eventId: string): Promise<AuditRow | undefined> {
    const { rows } = await this.#pool.query<Omit<AuditRow, 'occurred_at'> & { occurred_at: Date }>(
      `SELECT event_id, occurred_at, actor, action, subject, encode(salt, 'hex') AS salt,
         notarize, notarized, anchor_id, leaf_index
       FROM audit_events WHERE event_id = $1`,
      [eventId],
    );
    const [row] = rows;
    return row && { ...row, occurred_at: row.occurred_at.toISOString() };
  }
}
