import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { type Kysely, sql } from 'kysely';
import type { Migration, MigrationProvider } from 'kysely/migration';

export const MIGRATION_TABLE = 'schema_migrations';
export const MIGRATION_LOCK_TABLE = 'schema_migration_lock';

/** Two levels up both from the sources and from the compiled files. */
const DIRECTORY = new URL('../../migrations/', import.meta.url);

/** Names of the numbered migrations that this version knows, in order: `001-log` and so on. */
export async function knownMigrations(): Promise<readonly string[]> {
  const names = await readdir(DIRECTORY);
  return names
    .filter((name) => /^\d{3}-.*\.sql$/.test(name))
    .map((name) => basename(name, '.sql'))
    .sort();
}

/** Each migration is one SQL file, and goes up only: to go back, restore. */
export const sqlFileMigrations: MigrationProvider = {
  async getMigrations(): Promise<Record<string, Migration>> {
    const migrations: Record<string, Migration> = {};
    for (const name of await knownMigrations()) {
      const text = await readFile(new URL(`${name}.sql`, DIRECTORY), 'utf8');
      migrations[name] = {
        up: async (db: Kysely<never>) => {
          await sql.raw(text).execute(db);
        },
      };
    }
    return migrations;
  },
};
