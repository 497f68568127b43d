import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrate } from '../../src/postgres/migrate.ts';

/** A migrated database to copy, and the two roles of a deployment: one that migrates, one that serves. */
export interface DatabaseTemplate {
  readonly superuserUrl: string;
  readonly template: string;
  readonly ownerRole: string;
  readonly applicationRole: string;
  /** Of both roles. */
  readonly password: string;
  /** `host:port` of what stands between the application role and the server; the others go direct. */
  readonly pooler?: string;
}

/** The names are the run's own, so that runs can share a server. */
export async function createTemplate(superuserUrl: string): Promise<DatabaseTemplate> {
  const run = randomBytes(4).toString('hex');
  const made: DatabaseTemplate = {
    superuserUrl,
    template: `qm_template_${run}`,
    ownerRole: `qm_owner_${run}`,
    applicationRole: `qm_app_${run}`,
    password: randomBytes(12).toString('hex'),
  };
  await withClient(superuserUrl, async (client) => {
    // No superuser: what migrations need in production is what they get here.
    await client.query(`CREATE ROLE ${made.ownerRole} LOGIN CREATEROLE PASSWORD '${made.password}'`);
    await client.query(`CREATE DATABASE ${made.template} OWNER ${made.ownerRole}`);
  });
  await migrate({
    databaseUrl: roleUrl(superuserUrl, made.ownerRole, made.password, made.template),
    applicationRole: made.applicationRole,
    applicationPassword: made.password,
  });
  return made;
}

/** Drops the template, the databases made from it and the roles, in whatever state the tests left them. */
export async function dropTemplate(made: DatabaseTemplate): Promise<void> {
  await withClient(made.superuserUrl, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      'SELECT datname AS name FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba WHERE rolname = $1',
      [made.ownerRole],
    );
    for (const { name } of rows)
      await client.query(`DROP DATABASE ${pg.escapeIdentifier(name)} WITH (FORCE)`);
    await client.query(`DROP ROLE ${made.applicationRole}`);
    await client.query(`DROP ROLE ${made.ownerRole}`);
  });
}

export function roleUrl(superuserUrl: string, role: string, password: string, database: string): string {
  const url = new URL(superuserUrl);
  url.username = role;
  url.password = password;
  url.pathname = `/${database}`;
  return url.href;
}

export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
