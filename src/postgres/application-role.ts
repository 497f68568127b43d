import pg from 'pg';
import { scramVerifier } from './scram.ts';

/** The role that the server logs in as, unless configured otherwise. */
export const DEFAULT_APPLICATION_ROLE = 'quartermaster_app';

/**
 * Settings of the application role. They are the role's and not the session's, so that PgBouncer in transaction mode works;
 * they hold for the role that logs in, never for members of it.
 *
 * The planner settings make plans independent of statistics: a statement that was prepared while its tables were empty keeps
 * its plan as rows come, so only index lookups in nested loops may be left to choose from.
 */
export const APPLICATION_ROLE_SETTINGS: Readonly<Record<string, string>> = {
  statement_timeout: '60s',
  lock_timeout: '10s',
  idle_in_transaction_session_timeout: '30s',
  // The append counts on it: a statement that waited for a row lock goes on with the row as it then is.
  default_transaction_isolation: 'read committed',
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_memoize: 'off',
  enable_material: 'off',
  enable_sort: 'off',
  max_parallel_workers_per_gather: '0',
  jit: 'off',
};

export const HISTORY_TABLES = ['heads', 'anchors', 'anchor_leaves', 'log_nodes', 'log_keys'] as const;
export const STATE_COLUMNS = [
  'state',
  'state_reason',
  'state_version',
  'confirmed_size',
  'successor_id',
  'frozen_reason',
] as const;

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Makes the role where it does not exist (with LOGIN, and no password unless one is given), and brings its settings in line.
 * Without the right to do so it names the statements that somebody else has to run.
 */
export async function ensureApplicationRole(
  client: pg.ClientBase,
  role: string,
  password: string | undefined,
): Promise<void> {
  const name = pg.escapeIdentifier(role);
  const { rows } = await client.query<{ settings: string[] | null; own: boolean }>(
    'SELECT rolconfig AS settings, rolname = current_user AS own FROM pg_roles WHERE rolname = $1',
    [role],
  );
  if (rows[0]?.own === true) {
    throw new Error(
      `Migrations run as ${role}, which is the application's role. It would own the history that it may only add to: migrate as another role.`,
    );
  }
  const present = new Set(rows[0]?.settings ?? []);
  const statements: string[] = [];
  if (rows[0] === undefined) statements.push(`CREATE ROLE ${name} LOGIN`);
  for (const [setting, value] of Object.entries(APPLICATION_ROLE_SETTINGS)) {
    if (!present.has(`${setting}=${value}`))
      statements.push(`ALTER ROLE ${name} SET ${setting} = '${value}'`);
  }
  const shown = [...statements];
  if (password !== undefined) statements.push(`ALTER ROLE ${name} PASSWORD '${scramVerifier(password)}'`);
  for (const statement of statements) {
    try {
      await client.query(statement);
    } catch (cause) {
      if (!(cause instanceof pg.DatabaseError) || cause.code !== INSUFFICIENT_PRIVILEGE) throw cause;
      throw new Error(
        `The migration role may not set up the role ${role} (it needs CREATEROLE). Have a superuser run:\n${shown.join(';\n')};`,
        { cause },
      );
    }
  }
}

/** Lets the role read everything, add to history and change the state of clusters; again is harmless. */
export async function grantApplicationRole(client: pg.ClientBase, role: string): Promise<void> {
  const name = pg.escapeIdentifier(role);
  const { rows } = await client.query<{ schema: string; usable: boolean }>(
    `SELECT current_schema() AS schema, has_schema_privilege($1, current_schema(), 'USAGE') AS usable`,
    [role],
  );
  for (const { schema, usable } of rows) {
    if (!usable) await client.query(`GRANT USAGE ON SCHEMA ${pg.escapeIdentifier(schema)} TO ${name}`);
  }
  await client.query(`
    GRANT SELECT, INSERT ON clusters, lineage, ${HISTORY_TABLES.join(', ')} TO ${name};
    GRANT UPDATE (${STATE_COLUMNS.join(', ')}) ON clusters TO ${name};
    GRANT SELECT ON schema_migrations TO ${name};
  `);
}
