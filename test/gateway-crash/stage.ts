import { randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { postgresOutbox } from '../../src/gateway/postgres/index.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type DatabaseTemplate, withClient } from '../support/postgres-template.ts';
import { AUDIT_EVENTS } from './audit-events.ts';
import { NotaryProcess } from './notary-process.ts';

/** Where runs take place, one after another: a notary of its own, and a Postgres with a database for each application. */
export class Stage {
  readonly notary: NotaryProcess;
  readonly compileCache: string;
  readonly #directory: string;
  readonly #superuserUrl: string;
  readonly #database: TestDatabase;

  private constructor(parts: {
    readonly notary: NotaryProcess;
    readonly compileCache: string;
    readonly directory: string;
    readonly superuserUrl: string;
    readonly database: TestDatabase;
  }) {
    this.notary = parts.notary;
    this.compileCache = parts.compileCache;
    this.#directory = parts.directory;
    this.#superuserUrl = parts.superuserUrl;
    this.#database = parts.database;
  }

  static async open(template: DatabaseTemplate): Promise<Stage> {
    const directory = await mkdtemp(join(tmpdir(), 'quartermaster-crash-'));
    const compileCache = join(directory, 'compile-cache');
    const database = await openTestDatabase(template);
    const seed = new Uint8Array(randomBytes(32));
    const notary = await NotaryProcess.start({ databaseUrl: database.databaseUrl, seed, compileCache });
    return new Stage({ notary, compileCache, directory, superuserUrl: template.superuserUrl, database });
  }

  /** What belongs to one run alone. */
  async openApplication(): Promise<ApplicationPlace> {
    const name = `qm_crash_${randomBytes(6).toString('hex')}`;
    await withClient(this.#superuserUrl, (client) => client.query(`CREATE DATABASE ${name}`));
    const url = new URL(this.#superuserUrl);
    url.pathname = `/${name}`;
    const databaseUrl = url.href;
    const database = new pg.Pool({ connectionString: databaseUrl, max: 4 });
    database.on('error', () => {});
    await database.query(AUDIT_EVENTS);
    await postgresOutbox({ pool: database }).migrate();
    const directory = join(this.#directory, name);
    await mkdir(directory);
    return {
      clusterId: randomUUID(),
      databaseUrl,
      database,
      journalDirectory: join(directory, 'journal'),
      reportFile: join(directory, 'report'),
      close: async () => {
        await database.end();
        await withClient(this.#superuserUrl, (client) =>
          client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
        );
        await rm(directory, { recursive: true, force: true });
      },
    };
  }

  async close(): Promise<void> {
    await this.notary.close();
    await this.#database.close();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

export interface ApplicationPlace {
  readonly clusterId: string;
  readonly databaseUrl: string;
  readonly database: pg.Pool;
  readonly journalDirectory: string;
  readonly reportFile: string;
  close(): Promise<void>;
}
