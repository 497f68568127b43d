import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/cli/dev/embedded-postgres.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { makeTemporaryDirectory } from '../support/postgres-server.ts';
import { createTemplate, withClient } from '../support/postgres-template.ts';
import { eventually } from '../support/postgres-waits.ts';
import { ownerOf, SmallDisk } from './small-disk.ts';

/** Few enough that others can hold them all. */
const MAX_CONNECTIONS = 48;
const TOO_MANY_CONNECTIONS = '53300';

/** Of the application role: as in production, but in seconds, so that a run need not wait for them. */
const ROLE_SETTINGS = {
  lock_timeout: '2s',
  idle_in_transaction_session_timeout: '3s',
  statement_timeout: '5s',
};

/** A durable Postgres, with the database under test on a disk of its own. */
export class ChaosPostgres {
  readonly #root: string;
  #server: EmbeddedPostgres;
  readonly database: TestDatabase;
  /** undefined where this process may not mount one. */
  readonly disk: SmallDisk | undefined;

  private constructor(
    root: string,
    server: EmbeddedPostgres,
    database: TestDatabase,
    disk: SmallDisk | undefined,
  ) {
    this.#root = root;
    this.#server = server;
    this.database = database;
    this.disk = disk;
  }

  static async start(): Promise<ChaosPostgres> {
    const root = await makeTemporaryDirectory();
    const server = await startIn(root, 0);
    const template = await createTemplate(server.superuserUrl);
    const database = await openTestDatabase(template);
    const disk = await SmallDisk.mount(join(root, 'disk'), await ownerOf(server.dataDirectory));
    await withClient(server.superuserUrl, async (client) => {
      if (disk !== undefined) {
        await client.query(`CREATE TABLESPACE small LOCATION '${disk.path}'`);
        await client.query(`ALTER DATABASE ${database.name} SET TABLESPACE small`);
      }
      for (const [name, value] of Object.entries(ROLE_SETTINGS))
        await client.query(`ALTER ROLE ${template.applicationRole} SET ${name} = '${value}'`);
    });
    return new ChaosPostgres(root, server, database, disk);
  }

  get port(): number {
    return this.#server.port;
  }

  /** Immediate stop: nobody is told, nothing is written. */
  async crash(): Promise<void> {
    process.kill(this.#server.pid, 'SIGQUIT');
    await this.#server.exited;
  }

  /** On the same port, if nobody took it. */
  async startAgain(): Promise<void> {
    this.#server = await startIn(this.#root, this.#server.port);
  }

  /** As a superuser on the database under test. */
  async asSuperuser<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const url = new URL(this.database.superuserUrl);
    url.port = String(this.port);
    const client = await connected(url.href);
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  /** How often Postgres has said these words. */
  async countInLog(words: string): Promise<number> {
    const text = await readFile(join(this.#root, 'postgres', 'postgres.log'), 'utf8');
    return text.split(words).length - 1;
  }

  /** Ends servers' connections. @returns how many there were */
  async terminateBackends(limit: number): Promise<number> {
    return await this.asSuperuser(async (client) => {
      const { rowCount } = await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND usename = $1 AND application_name = 'quartermaster'
         ORDER BY random() LIMIT $2`,
        [this.database.applicationRole, limit],
      );
      return rowCount ?? 0;
    });
  }

  async stop(): Promise<void> {
    await this.database.storage.close();
    await this.#server.stop();
    await this.disk?.unmount();
    await rm(this.#root, { recursive: true, force: true });
  }
}

function startIn(root: string, port: number): Promise<EmbeddedPostgres> {
  const settings = { max_connections: String(MAX_CONNECTIONS) };
  return startEmbeddedPostgres({ directory: join(root, 'postgres'), port, log: () => {}, settings });
}

/** Connections are reserved for superusers, but whoever has not said yet who he is may hold one for a moment. */
async function connected(url: string): Promise<pg.Client> {
  return await eventually(async () => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    return await client.connect().then(
      () => client,
      (error: unknown) => {
        if (error instanceof pg.DatabaseError && error.code === TOO_MANY_CONNECTIONS) return undefined;
        throw error;
      },
    );
  });
}
