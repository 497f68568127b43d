import { randomBytes } from 'node:crypto';
import { createPostgresStorage, type PostgresStorage } from '../../src/postgres/storage.ts';
import { NAMED_STATEMENTS, throughPooler } from './pgbouncer.ts';
import { TEMPLATE_VARIABLE } from './postgres-global-setup.ts';
import { type DatabaseTemplate, roleUrl, withClient } from './postgres-template.ts';

export interface TestDatabase {
  readonly name: string;
  /** Of the application role, as a server uses it. */
  readonly databaseUrl: string;
  /** Of the migration role, which owns the tables. */
  readonly ownerUrl: string;
  /** Of a superuser, on this database. */
  readonly superuserUrl: string;
  readonly applicationRole: string;
  /** On `databaseUrl`, with the defaults. */
  readonly storage: PostgresStorage;
  /** Closes the storage and drops the database, whoever is still connected. */
  close(): Promise<void>;
}

/**
 * A fresh, migrated and empty database, on the server of this run unless another one's template is given.
 *
 * @example
 * let database: TestDatabase;
 * beforeAll(async () => { database = await openTestDatabase(); });
 * afterAll(async () => { await database.close(); });
 */
export async function openTestDatabase(template: DatabaseTemplate = sharedTemplate()): Promise<TestDatabase> {
  const { superuserUrl, ownerRole, applicationRole, password } = template;
  const name = `qm_test_${randomBytes(6).toString('hex')}`;
  await withClient(superuserUrl, async (client) => {
    await client.query(`CREATE DATABASE ${name} TEMPLATE ${template.template} OWNER ${ownerRole}`);
  });
  const databaseUrl = throughPooler(roleUrl(superuserUrl, applicationRole, password, name), template.pooler);
  const storage = createPostgresStorage({ databaseUrl, namedStatements: NAMED_STATEMENTS });
  return {
    name,
    databaseUrl,
    ownerUrl: roleUrl(superuserUrl, ownerRole, password, name),
    superuserUrl: databaseOf(superuserUrl, name),
    applicationRole,
    storage,
    close: async () => {
      await storage.close();
      await withClient(superuserUrl, async (client) => {
        await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      });
    },
  };
}

/** The server and the template that the global setup made. */
export function sharedTemplate(): DatabaseTemplate {
  const text = process.env[TEMPLATE_VARIABLE];
  if (text === undefined)
    throw new Error('the global setup test/support/postgres-global-setup.ts did not run');
  return JSON.parse(text) as DatabaseTemplate;
}

function databaseOf(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}
