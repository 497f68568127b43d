import pg from 'pg';
import type { Outbox, SealedBatch } from '../../../src/gateway/outbox.ts';
import { type PostgresOutboxOptions, postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import type { PostgresOutbox } from '../../../src/gateway/postgres/postgres-outbox.ts';
import { openTestDatabase, type TestDatabase } from '../../support/database.ts';
import { contextOf } from '../outbox-contract.ts';

/** A gateway's own database: its table of events, and the outbox's tables. */
export interface GatewayDatabase {
  readonly database: TestDatabase;
  /** of the role that owns the tables */
  readonly url: string;
  readonly pool: pg.Pool;
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>;
  /** Another pool, that is ended with the database. */
  newPool(config?: pg.PoolConfig): pg.Pool;
  /** An opened outbox, that is closed with the database. */
  open(options?: Partial<PostgresOutboxOptions>): Promise<PostgresOutbox>;
  close(): Promise<void>;
}

export const EVENTS = `CREATE TABLE audit_events (
  event_id uuid PRIMARY KEY, body text, notarized boolean NOT NULL DEFAULT false, anchor_id uuid, leaf_index integer)`;

export async function openGatewayDatabase(events = EVENTS): Promise<GatewayDatabase> {
  const database = await openTestDatabase();
  const url = database.ownerUrl;
  const pools: pg.Pool[] = [];
  const outboxes: Outbox[] = [];
  const newPool = (config: pg.PoolConfig = {}): pg.Pool => {
    const pool = new pg.Pool({ connectionString: url, max: 5, ...config });
    pool.on('error', () => {});
    pools.push(pool);
    return pool;
  };
  const pool = newPool();
  await pool.query(events);
  await postgresOutbox({ pool }).migrate();
  let requests = 0;
  return {
    database,
    url,
    pool,
    query: (text, values) => pool.query(text, values),
    newPool,
    async open(options = {}) {
      const outbox = postgresOutbox({ pool, events: { table: 'audit_events' }, ...options });
      // Unlike the ids of the contract's context, these differ between the replicas of one test.
      const newRequestId = () => `0190a1b2-0000-7000-8000-${(++requests).toString(16).padStart(12, '0')}`;
      await outbox.open(contextOf({ newRequestId, now: Date.now }));
      outboxes.push(outbox);
      return outbox;
    },
    async close() {
      for (const outbox of outboxes) await outbox.close();
      for (const each of pools) await each.end();
      await database.close();
    },
  };
}

export function eventIdOf(n: number): string {
  return `0190ffff-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

export function anchorIdOf(n: number): string {
  return `0190aaaa-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

export function anchorOf(n: number): { anchorId: string; clusterId: string; logIndex: number } {
  return { anchorId: anchorIdOf(n), clusterId: '0190a1b2-0000-7000-8000-000000000001', logIndex: n };
}

/** The next batch, which must be there. */
export async function taken(outbox: Outbox, maxLeaves = 1_000): Promise<SealedBatch> {
  const batch = await outbox.take(maxLeaves, true);
  if (batch === undefined) throw new Error('there is no batch to take');
  return batch;
}

/** Runs the work in one transaction of a connection of its own. */
export async function inTransaction(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await work(client);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}
