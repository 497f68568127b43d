import { join } from 'node:path';
import pg from 'pg';
import { DEFAULT_APPLICATION_ROLE } from '../../postgres/application-role.ts';
import { migrate } from '../../postgres/migrate.ts';
import { readOrCreatePassword } from './embedded-data.ts';
import type { EmbeddedPostgres } from './embedded-postgres.ts';

export interface EmbeddedDatabase {
  /** Of the application role, for the server. */
  readonly databaseUrl: string;
  /** Of the superuser, who owns the tables. */
  readonly ownerUrl: string;
}

/** Makes the database where it does not exist, migrates it, and gives the application role its kept password. */
export async function openEmbeddedDatabase(
  server: EmbeddedPostgres,
  options: {
    /** Where the application role's password is kept. */
    readonly directory: string;
    readonly database?: string | undefined;
    readonly log: (message: string) => void;
  },
): Promise<EmbeddedDatabase> {
  const database = options.database ?? 'quartermaster';
  await createDatabase(server.superuserUrl, database);
  const password = await readOrCreatePassword(join(options.directory, 'application-password'));
  const owner = new URL(server.superuserUrl);
  owner.pathname = `/${encodeURIComponent(database)}`;
  const application = new URL(owner);
  application.username = DEFAULT_APPLICATION_ROLE;
  application.password = password;
  await migrate({ databaseUrl: owner.href, applicationPassword: password, log: options.log });
  return { databaseUrl: application.href, ownerUrl: owner.href };
}

async function createDatabase(superuserUrl: string, database: string): Promise<void> {
  const client = new pg.Client({ connectionString: superuserUrl });
  client.on('error', () => {}); // The query in flight is rejected with it.
  await client.connect();
  try {
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(database)}`);
  } finally {
    await client.end();
  }
}
