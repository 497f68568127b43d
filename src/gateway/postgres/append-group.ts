import { GatewayError } from '../error.ts';
import type { Census } from './census.ts';
import { isUnknownOutcome, sqlState } from './connection.ts';
import { type Database, outboxFailed, type Query } from './database.ts';
import { checkEventId, checkLeaf, insertSql, leafParameters } from './enqueue.ts';
import type { OutboxNames } from './names.ts';

/** As many leaves go into one transaction. */
const MAX_GROUP = 10_000;
/** What waits for the database in memory, at 32 bytes and an event id each. */
const MAX_WAITING = 100_000;
/** How long to ask what became of a transaction before its caller is told that nobody knows. */
const RESOLVE_MS = 10_000;
const RESOLVE_PAUSE_MS = 100;

interface Waiting {
  readonly leaf: Uint8Array;
  readonly eventId: string | undefined;
  readonly enqueuedAtMs: number;
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: unknown) => void;
}

/** Leaves that are submitted outside any transaction of the gateway's. While one group commits, the next one gathers. */
export class AppendGroup {
  readonly #database: Database;
  readonly #census: Census;
  readonly #maxLeaves: number;
  readonly #insertSql: string;
  readonly #waiting: Waiting[] = [];
  #draining: Promise<void> | undefined;

  constructor(database: Database, names: OutboxNames, census: Census, maxLeaves: number) {
    this.#database = database;
    this.#census = census;
    this.#maxLeaves = maxLeaves;
    // Ascending, as they were given: the rows of an ordered INSERT take their numbers in its order.
    this.#insertSql = `WITH inserted AS (
${insertSql(names, '($3::bigint[])[position]')}
RETURNING sequence)
SELECT json_agg(sequence ORDER BY sequence)::text AS sequences, pg_current_xact_id()::text AS transaction FROM inserted`;
  }

  /** @throws {GatewayError} BAD_EVENT, OUTBOX_FULL, OUTBOX_FAILED */
  append(leaf: Uint8Array, eventId: string | undefined, enqueuedAtMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      checkLeaf(leaf);
      if (eventId !== undefined) checkEventId(eventId);
      if (this.#waiting.length >= MAX_WAITING) {
        throw new GatewayError('OUTBOX_FULL', `${MAX_WAITING} leaves wait for the database already`);
      }
      this.#waiting.push({ leaf: new Uint8Array(leaf), eventId, enqueuedAtMs, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Resolves when nobody waits. */
  async idle(): Promise<void> {
    while (this.#draining !== undefined) await this.#draining;
  }

  async #drain(): Promise<void> {
    // Who calls in the same turn of the event loop goes along.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, MAX_GROUP);
      try {
        const room = await this.#census.room(this.#maxLeaves);
        for (const { reject } of group.splice(room)) {
          reject(
            new GatewayError('OUTBOX_FULL', `the outbox holds ${this.#maxLeaves} leaves, as many as it may`),
          );
        }
        if (group.length > 0) await this.#insertGroup(group);
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#draining = undefined;
  }

  async #insertGroup(group: readonly Waiting[]): Promise<void> {
    try {
      const sequences = await this.#insert(group);
      this.#census.changed(group.length);
      group.forEach(({ resolve }, index) => {
        resolve(sequences[index] as number);
      });
    } catch (error) {
      const cause = error instanceof GatewayError ? error.cause : error;
      // An event id that this database cannot store (of another encoding than UTF-8) is the fault of one.
      if (group.length === 1 || sqlState(cause)?.startsWith('22') !== true) throw error;
      for (const one of group) await this.#insertGroup([one]).catch(one.reject);
    }
  }

  /** Commits the group once, and finds out whether it did. @returns their sequences */
  async #insert(group: readonly Waiting[]): Promise<readonly number[]> {
    const [packed, eventIds] = leafParameters(group);
    const times = group.map(({ enqueuedAtMs }) => Math.trunc(enqueuedAtMs));
    let sent: { readonly sequences: readonly number[]; readonly transaction: string } | undefined;
    try {
      return await this.#database.session('take leaves', async (query) => {
        // A try before this one came as far as its COMMIT.
        if (sent !== undefined && (await this.#isCommitted(query, sent.transaction))) return sent.sequences;
        sent = undefined;
        await query('BEGIN ISOLATION LEVEL READ COMMITTED');
        const [row] = await query(this.#insertSql, [packed, eventIds, times]);
        const inserted = {
          sequences: JSON.parse(String(row?.sequences)) as number[],
          transaction: String(row?.transaction),
        };
        sent = inserted;
        await query('COMMIT');
        return inserted.sequences;
      });
    } catch (error) {
      const cause = error instanceof GatewayError ? error.cause : error;
      if (sent === undefined || !isUnknownOutcome(cause)) throw outboxFailed('take leaves', error);
      return await this.#resolve(sent, error);
    }
  }

  /** Asks until the database is there again, for a while. */
  async #resolve(
    sent: { readonly sequences: readonly number[]; readonly transaction: string },
    failure: unknown,
  ): Promise<readonly number[]> {
    const deadline = performance.now() + RESOLVE_MS;
    for (;;) {
      try {
        const committed = await this.#database.once((query) => this.#isCommitted(query, sent.transaction));
        if (committed) return sent.sequences;
        throw outboxFailed('take leaves', failure);
      } catch (error) {
        if (error instanceof GatewayError) throw error;
        if (performance.now() > deadline)
          throw outboxFailed('take leaves, or know whether they were taken', error);
      }
      await new Promise((resolve) => setTimeout(resolve, RESOLVE_PAUSE_MS));
    }
  }

  /** @throws where it is still under way, or the database cannot tell */
  async #isCommitted(query: Query, transaction: string): Promise<boolean> {
    const [row] = await query('SELECT pg_xact_status($1::text::xid8) AS status', [transaction]);
    if (row?.status === 'in progress') throw new Error(`transaction ${transaction} is under way`);
    return row?.status === 'committed';
  }
}
