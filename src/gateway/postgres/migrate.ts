import { GatewayError } from '../error.ts';
import type { Database, Query } from './database.ts';
import { beginningSql, migrationsAfter, NEEDED_VERSION, recordSql } from './migrations.ts';
import { type OutboxNames, outboxNames, quoteLiteral } from './names.ts';

/**
 * Makes the outbox's tables, or brings them up to date. Of several replicas that call it at once one works, the others wait and
 * find nothing left to do.
 */
export async function migrate(database: Database, schema: string): Promise<void> {
  const names = outboxNames(schema);
  await database.session('migrate the outbox', async (query) => {
    await query('BEGIN ISOLATION LEVEL READ COMMITTED');
    // Held by the transaction, not the session. Two schemas with one hash only wait for one another.
    await query(
      `SELECT pg_advisory_xact_lock(hashtextextended(${quoteLiteral(`outbox ${schema}`)}, 0))::text`,
    );
    const version = await storedVersion(query, names);
    if (version === undefined) await query(beginningSql(schema));
    for (const migration of migrationsAfter(version ?? 0)) {
      await query(migration.sql(names));
      await query(recordSql(names, migration.version));
    }
    await query('COMMIT');
  });
}

/** @throws {GatewayError} OUTBOX_FAILED where the tables are missing or too old, saying what to run */
export async function checkVersion(query: Query, names: OutboxNames): Promise<void> {
  const version = await storedVersion(query, names);
  if (version !== undefined && version >= NEEDED_VERSION) return;
  const what =
    version === undefined ? 'are not there' : `are of version ${version}, and ${NEEDED_VERSION} is needed`;
  throw new GatewayError(
    'OUTBOX_FAILED',
    `the tables of the outbox in schema ${names.schema} ${what}: run \`await outbox.migrate()\` once, or the SQL of outboxMigrationSql()`,
  );
}

async function storedVersion(query: Query, { migrations }: OutboxNames): Promise<number | undefined> {
  const [found] = await query('SELECT to_regclass($1) IS NOT NULL AS present', [migrations]);
  if (found?.present !== true) return undefined;
  const [row] = await query(`SELECT coalesce(max(version), 0)::text AS version FROM ${migrations}`);
  return Number(row?.version);
}
