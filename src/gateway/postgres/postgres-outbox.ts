import { randomUUID } from 'node:crypto';
import { GatewayError } from '../error.ts';
import type {
  Backlog,
  BatchAnchor,
  DeadLetter,
  Outbox,
  OutboxContext,
  Refusal,
  SealedBatch,
  SettledElsewhere,
  UnanchoredLeaf,
} from '../outbox.ts';
import { AppendGroup } from './append-group.ts';
import { BatchStore } from './batch-store.ts';
import { Census } from './census.ts';
import { Database } from './database.ts';
import { insertSql, type LeafOfEvent, leafParameters, type PostgresTransaction, runIn } from './enqueue.ts';
import { EventsTable } from './events-table.ts';
import { checkGrants } from './grants.ts';
import { Leases } from './leases.ts';
import { Listing } from './listing.ts';
import { checkVersion, migrate } from './migrate.ts';
import { type OutboxNames, outboxNames } from './names.ts';
import { checkPostgresOptions, type PostgresOutboxOptions, type PostgresSettings } from './options.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SWEEP_EVERY_MS = 60_000;

/**
 * Keeps leaves in the gateway's own Postgres (15 or later). The gateway enqueues the digest of an event in the transaction that
 * inserts the event; any number of replicas drain the queue; the anchor is written back into the gateway's own table.
 *
 * @example
 * const outbox = postgresOutbox({ pool, events: { table: 'audit_events' } });
 * await outbox.migrate();
 * const gateway = createGateway({ endpoint, clusterId, outbox });
 *
 * await client.query('BEGIN');
 * await client.query('INSERT INTO audit_events (event_id, body) VALUES ($1, $2)', [eventId, body]);
 * await outbox.enqueue(client, { eventId, leaf });
 * await client.query('COMMIT');
 *
 * @throws {GatewayError} BAD_OPTIONS
 */
export function postgresOutbox(options: PostgresOutboxOptions): PostgresOutbox {
  return new PostgresOutbox(checkPostgresOptions(options));
}

interface Opened {
  readonly context: OutboxContext;
  readonly batches: BatchStore;
  readonly leases: Leases;
  readonly listing: Listing;
}

export class PostgresOutbox implements Outbox {
  readonly kind = 'postgres';
  readonly promise = 'whatever a commit in its Postgres survives';
  readonly isShared = true;

  readonly #settings: PostgresSettings;
  readonly #names: OutboxNames;
  readonly #database: Database;
  readonly #census: Census;
  readonly #appends: AppendGroup;
  readonly #enqueueSql: string;
  #opened: Opened | undefined;
  #isDisabled = false;
  /** One at a time: what a take without an answer sealed is found by the next one, and by no other. */
  #taking: Promise<unknown> = Promise.resolve();
  #sweptAtMs = performance.now();

  /** @internal */
  constructor(settings: PostgresSettings) {
    this.#settings = settings;
    this.#names = outboxNames(settings.schema);
    this.#database = new Database(settings.pool, settings.statementTimeoutMs);
    this.#census = new Census(this.#database, this.#names);
    this.#appends = new AppendGroup(this.#database, this.#names, this.#census, settings.maxLeaves);
    this.#enqueueSql = insertSql(this.#names, '$3::bigint');
  }

  /**
   * Makes the outbox's own tables, or brings them up to date; does nothing where they are. Several replicas may call it at once.
   * The role must own the tables, or be allowed to create the schema: where the gateway's own role is not, run it, or the SQL of
   * `outboxMigrationSql()`, as another, and then `outboxGrantSql()`.
   *
   * @throws {GatewayError} OUTBOX_FAILED
   */
  async migrate(): Promise<void> {
    await migrate(this.#database, this.#settings.schema);
  }

  /**
   * Takes leaves in a transaction of the gateway's own: they are anchored if it commits, and were never there if it does not.
   * Leaves are taken in the order given. Never waits for room, and needs no open gateway in this process; where a gateway with an
   * empty clusterId has this outbox, nothing is taken.
   *
   * @param tx what the event is inserted with: a client of `pg`, or a `Transaction` of Kysely
   * @param leaves one, or any number in one statement
   * @throws {GatewayError} BAD_EVENT; what the database says about the statement is thrown as it is
   *
   * @example
   * await db.transaction().execute(async (tx) => {
   *   await tx.insertInto('audit_events').values(event).execute();
   *   await outbox.enqueue(tx, { eventId: event.event_id, leaf });
   * });
   */
  async enqueue(tx: PostgresTransaction, leaves: LeafOfEvent | readonly LeafOfEvent[]): Promise<void> {
    const all = Array.isArray(leaves) ? (leaves as readonly LeafOfEvent[]) : [leaves as LeafOfEvent];
    if (all.length === 0 || this.#isDisabled) return;
    const nowMs = this.#opened?.context.now() ?? Date.now();
    await runIn(tx, this.#enqueueSql, [...leafParameters(all), Math.trunc(nowMs)]);
  }

  /** The gateway has no cluster: its events are inserted as ever, and no leaf waits for a drainer that never comes. */
  disable(): void {
    this.#isDisabled = true;
  }

  async open(context: OutboxContext): Promise<{ readonly checkpoints: readonly string[] }> {
    if (this.#opened !== undefined) {
      throw new GatewayError(
        'OUTBOX_IN_USE',
        'this outbox object belongs to another gateway already: make one for each',
      );
    }
    const { leaseMs, events } = this.#settings;
    const names = this.#names;
    return await this.#database.session('open the outbox', async (query) => {
      await checkVersion(query, names);
      const table = events === undefined ? undefined : await EventsTable.find(query, events, names);
      await checkGrants(query, names, events);
      const rows = await query(`SELECT note FROM ${names.checkpoints} ORDER BY origin`);
      const taker = randomUUID();
      this.#opened = {
        context,
        batches: new BatchStore(this.#database, names, taker, table),
        leases: new Leases(this.#database, names, taker, leaseMs, context.log),
        listing: new Listing(this.#database, names, table),
      };
      return { checkpoints: rows.map(({ note }) => String(note)) };
    });
  }

  async append(leaf: Uint8Array, eventId: string | undefined): Promise<number> {
    return await this.#appends.append(leaf, eventId, this.#open().context.now());
  }

  take(maxLeaves: number, mayBePartial: boolean): Promise<SealedBatch | undefined> {
    const next = this.#taking.then(() => this.#take(maxLeaves, mayBePartial));
    this.#taking = next.catch(() => {});
    return next;
  }

  async settle(batch: SealedBatch, anchor: BatchAnchor): Promise<boolean> {
    const { batches, context } = this.#open();
    const settled = await batches.settle(batch, anchor);
    this.#letGo(batch);
    this.#sweepNowAndThen();
    if (settled === undefined) return false;
    this.#census.changed(-batch.sequences.length);
    if (settled.marked < settled.named) {
      context.log.warn(
        { anchorId: anchor.anchorId, named: settled.named, found: settled.marked },
        'anchored events are not in the table of events: deleted since, or under another id',
      );
    }
    return true;
  }

  async split(batch: SealedBatch, parts: readonly SealedBatch[]): Promise<boolean> {
    const { batches } = this.#open();
    const leaves = parts.reduce((sum, { sequences }) => sum + sequences.length, 0);
    if (leaves !== batch.sequences.length) {
      throw new GatewayError('OUTBOX_FAILED', 'cannot split a batch: the parts are not the same leaves');
    }
    const wasThere = await batches.split(batch, parts);
    this.#letGo(batch);
    return wasThere;
  }

  async bury(batch: SealedBatch, refusal: Refusal): Promise<boolean> {
    const { batches, context } = this.#open();
    const wasThere = await batches.bury(batch, refusal, context.now());
    this.#letGo(batch);
    return wasThere;
  }

  async release(batch: SealedBatch): Promise<void> {
    await this.#open().leases.release([batch.requestId]);
  }

  deadLetters(): AsyncGenerator<DeadLetter> {
    return this.#open().listing.deadLetters();
  }

  async revive(id: string): Promise<boolean> {
    return UUID.test(id) && (await this.#open().batches.revive(id));
  }

  async discard(id: string): Promise<boolean> {
    return UUID.test(id) && (await this.#open().batches.discard(id));
  }

  async keepEvidence(evidence: string): Promise<string> {
    const { evidence: table } = this.#names;
    const [row] = await this.#database.run(
      'keep evidence',
      `INSERT INTO ${table} (evidence) VALUES ($1) RETURNING number::text AS number`,
      [evidence.toWellFormed().replaceAll('\0', '\ufffd')],
    );
    return `${table}, number ${row?.number}`;
  }

  async backlog(): Promise<Backlog> {
    this.#open();
    return await this.#census.backlog();
  }

  unanchored(): AsyncGenerator<UnanchoredLeaf> {
    return this.#open().listing.unanchored();
  }

  async settled(sequences: readonly number[]): Promise<ReadonlyMap<number, SettledElsewhere>> {
    return await this.#open().listing.settled(sequences);
  }

  /** The pool stays open: it is the caller's. */
  async close(): Promise<void> {
    const opened = this.#opened;
    if (opened === undefined) return;
    await this.#appends.idle();
    await this.#taking;
    this.#opened = undefined;
    try {
      await opened.leases.close();
    } catch (error) {
      // Nothing is lost: others take over when the leases run out.
      opened.context.log.warn({ error: String(error) }, 'batches in hand could not be put back');
    }
  }

  async #take(maxLeaves: number, mayBePartial: boolean): Promise<SealedBatch | undefined> {
    const { context, batches, leases } = this.#open();
    const batch = await batches.take({
      leaseMs: leases.leaseMs,
      inHand: leases.held,
      maxLeaves,
      mayBePartial,
      newId: context.newRequestId(),
      etcdRevision: context.etcdRevision(),
    });
    if (batch !== undefined) leases.add(batch.requestId);
    return batch;
  }

  #letGo({ requestId }: SealedBatch): void {
    this.#opened?.leases.delete(requestId);
  }

  #sweepNowAndThen(): void {
    const nowMs = performance.now();
    if (nowMs - this.#sweptAtMs < SWEEP_EVERY_MS) return;
    this.#sweptAtMs = nowMs;
    const { batches, context } = this.#open();
    batches.sweep().catch((error: Error) => {
      context.log.warn({ error: error.message }, 'what was settled long ago was not forgotten');
    });
  }

  #open(): Opened {
    if (this.#opened === undefined) throw new GatewayError('OUTBOX_FAILED', 'this outbox is not open');
    return this.#opened;
  }
}
