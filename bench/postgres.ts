import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedDatabase, openEmbeddedDatabase } from '../src/cli/dev/embedded-database.ts';
import { startEmbeddedPostgres } from '../src/cli/dev/embedded-postgres.ts';

export interface Postgres {
  /** Of the postmaster. */
  readonly pid: number;
  readonly version: string;
  /** A new one, migrated and empty. */
  createDatabase(): Promise<EmbeddedDatabase>;
  stop(): Promise<void>;
}

/** A Postgres of its own with its default settings: commits are durable. */
export async function startPostgres(): Promise<Postgres> {
  const directory = await mkdtemp(join(tmpdir(), 'quartermaster-bench-'));
  const silent = { directory, log: () => undefined };
  const server = await startEmbeddedPostgres({ ...silent, port: 0 });
  return {
    pid: server.pid,
    version: await versionOf(server.superuserUrl),
    createDatabase: () =>
      openEmbeddedDatabase(server, { ...silent, database: `bench_${randomBytes(4).toString('hex')}` }),
    async stop() {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function versionOf(url: string): Promise<string> {
  const [row] = await queryOnce<{ version: string }>(
    url,
    "SELECT current_setting('server_version') AS version",
  );
  return `PostgreSQL ${row?.version ?? '?'}`;
}

export async function queryOnce<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
