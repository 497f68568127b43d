import { sql } from 'kysely';
import { StorageError } from '../notary/storage.ts';
import { APPLICATION_ROLE_SETTINGS, HISTORY_TABLES } from './application-role.ts';
import type { Connection } from './connection-pool.ts';
import { knownMigrations, MIGRATION_TABLE } from './migrations.ts';
import { queries } from './schema.ts';

const MINIMUM_VERSION = 150_000;

export interface DatabaseCheckOptions {
  /** Accept fsync or synchronous_commit off: acknowledged anchors may then be lost. */
  readonly allowUnsafeDurability?: boolean | undefined;
}

export interface DatabaseCheck {
  /** Reasons not to serve on this database. */
  readonly refusals: readonly string[];
  /** What an operator should change. */
  readonly warnings: readonly string[];
}

interface ServerRow {
  readonly version: number;
  readonly version_text: string;
  readonly standby: boolean;
  readonly fsync: string;
  readonly synchronous_commit: string;
  readonly role: string;
  readonly migrated: boolean;
}

/** Whether history is safe in this database, and whether it has the schema that this version works on. */
export async function checkDatabase(
  connection: Connection,
  options: DatabaseCheckOptions,
): Promise<DatabaseCheck> {
  const [server] = await connection.run(
    sql<ServerRow>`
      SELECT current_setting('server_version_num')::int4 AS version, current_setting('server_version') AS version_text,
        pg_is_in_recovery() AS standby, current_setting('fsync') AS fsync,
        current_setting('synchronous_commit') AS synchronous_commit, current_user AS role,
        to_regclass(${MIGRATION_TABLE}) IS NOT NULL AS migrated`.compile(queries),
  );
  if (server === undefined) throw new StorageError('INTERNAL', 'the database told nothing of itself');
  const refusals: string[] = [];
  const warnings: string[] = [];
  if (server.version < MINIMUM_VERSION) {
    refusals.push(`This is PostgreSQL ${server.version_text}; version 15 or later is needed.`);
  }
  if (server.standby) refusals.push('The database is a standby; the server needs the primary.');
  const unsafe = [
    ...(server.fsync === 'off' ? ['fsync'] : []),
    ...(server.synchronous_commit === 'off' ? ['synchronous_commit'] : []),
  ];
  for (const setting of unsafe) {
    const text = `${setting} is off: anchors that were answered may be lost in a crash.`;
    (options.allowUnsafeDurability === true ? warnings : refusals).push(text);
  }
  if (!server.migrated) {
    refusals.push('The database has no schema yet: run "quartermaster migrate".');
    return { refusals, warnings };
  }
  const known = await knownMigrations();
  const applied = await appliedMigrations(connection);
  const missing = known.filter((name) => !applied.includes(name));
  const newer = applied.filter((name) => !known.includes(name));
  if (missing.length > 0) {
    refusals.push(`The schema lacks ${missing.join(', ')}: run "quartermaster migrate" of this version.`);
    return { refusals, warnings };
  }
  // A migration runs before the new version does, while this one still serves.
  if (newer.length > 0) warnings.push(`The schema is newer than this version: it has ${newer.join(', ')}.`);
  warnings.push(...(await privilegeWarnings(connection, server.role)));
  warnings.push(...(await settingWarnings(connection, server.role)));
  return { refusals, warnings };
}

async function appliedMigrations(connection: Connection): Promise<readonly string[]> {
  const rows = await connection.run(
    sql<{ name: string }>`SELECT name FROM ${sql.table(MIGRATION_TABLE)} ORDER BY name`.compile(queries),
  );
  return rows.map((row) => row.name);
}

async function privilegeWarnings(connection: Connection, role: string): Promise<readonly string[]> {
  const rows = await connection.run(
    sql<{ table: string }>`
      SELECT name AS "table" FROM unnest(${[...HISTORY_TABLES, 'lineage', 'clusters']}::text[]) AS t(name)
      WHERE has_table_privilege(name, 'DELETE') OR has_table_privilege(name, 'TRUNCATE')
        OR (name <> 'clusters' AND has_any_column_privilege(name, 'UPDATE'))`.compile(queries),
  );
  if (rows.length === 0) return [];
  const tables = rows.map((row) => row.table).join(', ');
  return [`The role ${role} may rewrite ${tables}; serve as a role that may only add to history.`];
}

/** Plans and timeouts hang on the settings of the role that logs in. */
async function settingWarnings(connection: Connection, role: string): Promise<readonly string[]> {
  const rows = await connection.run(
    sql<{ name: string }>`
      SELECT wanted.name FROM unnest(
        ${Object.keys(APPLICATION_ROLE_SETTINGS)}::text[], ${Object.values(APPLICATION_ROLE_SETTINGS)}::text[]
      ) AS wanted(name, value)
      WHERE current_setting(wanted.name) IS DISTINCT FROM
        CASE wanted.value WHEN '60s' THEN '1min' ELSE wanted.value END`.compile(queries),
  );
  if (rows.length === 0) return [];
  const names = rows.map((row) => row.name).join(', ');
  return [
    `The role ${role} runs with other values of ${names} than "quartermaster migrate" sets: statements may get slow plans or wait for ever.`,
  ];
}
