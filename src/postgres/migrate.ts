import { setTimeout as delay } from 'node:timers/promises';
import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import pg from 'pg';
import { DEFAULT_APPLICATION_ROLE, ensureApplicationRole, grantApplicationRole } from './application-role.ts';
import { knownMigrations, MIGRATION_LOCK_TABLE, MIGRATION_TABLE, sqlFileMigrations } from './migrations.ts';

/** Any number that nobody else uses for an advisory lock in this database. */
const LOCK_KEY = '7165117469';
const RETRY_DELAY_MS = 500;

export interface MigrateOptions {
  /** Of the migration role, which becomes the owner of the tables; a direct connection, not one through a pooler. */
  readonly databaseUrl: string;
  /** The role that the server logs in as; made where it does not exist. */
  readonly applicationRole?: string | undefined;
  /** Sets the application role's password. */
  readonly applicationPassword?: string | undefined;
  /** How long to wait for a lock before stepping back, since a waiting migration blocks those that come after it. */
  readonly lockTimeoutMs?: number | undefined;
  readonly statementTimeoutMs?: number | undefined;
  /** How long to try in all, other replicas' migrations included. */
  readonly deadlineMs?: number | undefined;
  readonly log?: ((message: string) => void) | undefined;
}

export interface MigrateResult {
  /** Names of the migrations that this call ran. */
  readonly applied: readonly string[];
  /** Names of migrations in the database that this version does not know: a newer version was here, nothing was done. */
  readonly newer: readonly string[];
}

/**
 * Brings the database to this version's schema: application role, tables, grants. Safe from several replicas at once: one
 * works, the others wait and find nothing left to do.
 */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const deadline = performance.now() + (options.deadlineMs ?? 600_000);
  for (;;) {
    try {
      return await migrateOnce(options);
    } catch (error) {
      if (!isPassing(error) || performance.now() + RETRY_DELAY_MS > deadline) throw error;
      options.log?.(`waiting for another transaction: ${(error as Error).message}`);
      await delay(RETRY_DELAY_MS);
    }
  }
}

async function migrateOnce(options: MigrateOptions): Promise<MigrateResult> {
  const role = options.applicationRole ?? DEFAULT_APPLICATION_ROLE;
  const client = new pg.Client({
    connectionString: options.databaseUrl,
    application_name: 'quartermaster migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  });
  client.on('error', () => {}); // The query in flight, or the next one, is rejected with it.
  await client.connect();
  try {
    await client.query(`SET lock_timeout = ${Math.trunc(options.lockTimeoutMs ?? 5_000)}`);
    await client.query(`SET statement_timeout = ${Math.trunc(options.statementTimeoutMs ?? 600_000)}`);
    // Held for this connection's life. Kysely's own lock covers the migrations, not the role and the grants.
    await client.query(`SELECT pg_advisory_lock(${LOCK_KEY})`);
    const newer = await newerMigrations(client);
    if (newer.length > 0) return { applied: [], newer };
    await ensureApplicationRole(client, role, options.applicationPassword);
    const applied = await runMigrations(client);
    await grantApplicationRole(client, role);
    for (const name of applied) options.log?.(`applied migration ${name}`);
    return { applied, newer: [] };
  } finally {
    await client.end();
  }
}

async function runMigrations(client: pg.Client): Promise<readonly string[]> {
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool: onlyConnection(client) }) });
  const migrator = new Migrator({
    db,
    provider: sqlFileMigrations,
    migrationTableName: MIGRATION_TABLE,
    migrationLockTableName: MIGRATION_LOCK_TABLE,
  });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
  return (results ?? []).map((result) => result.migrationName);
}

/** A pool of the one connection that has our timeouts and our lock. */
function onlyConnection(client: pg.Client) {
  const connection = { query: client.query.bind(client), release: () => {} };
  return { options: {}, connect: async () => connection, end: async () => {} };
}

async function newerMigrations(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ present: boolean }>('SELECT to_regclass($1) IS NOT NULL AS present', [
    MIGRATION_TABLE,
  ]);
  if (rows[0]?.present !== true) return [];
  const known = await knownMigrations();
  const executed = await client.query<{ name: string }>(`SELECT name FROM ${MIGRATION_TABLE} ORDER BY name`);
  return executed.rows.map((row) => row.name).filter((name) => !known.includes(name));
}

/** lock_not_available, deadlock_detected, and what concurrent changes of one role look like from two databases. */
function isPassing(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false;
  if (error.code === '55P03' || error.code === '40P01') return true;
  if (error.code === '42710' || (error.code === '23505' && error.table?.startsWith('pg_') === true))
    return true;
  return error.code === 'XX000' && error.message.startsWith('tuple concurrently');
}
