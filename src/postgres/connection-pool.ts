import type { CompiledQuery } from 'kysely';
import pg from 'pg';
import { StorageError } from '../notary/storage.ts';
import { resultTypes } from './result-types.ts';
import { leavesConnectionUsable } from './sql-state.ts';

export interface ConnectionPoolOptions {
  readonly databaseUrl: string;
  readonly poolSize: number;
  /** For a free connection of the pool, and for a new one. */
  readonly connectTimeoutMs: number;
  /** Prepare once per connection; off for poolers that do not follow prepared statements. */
  readonly namedStatements: boolean;
  /** Told of connections that break while nobody uses them. */
  readonly onIdleError: (error: Error) => void;
}

/** A statement that is sent often enough to be prepared by name. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Where connections come from. */
export interface Connections {
  connect(): Promise<Connection>;
}

/** Connections of the application role. */
export class ConnectionPool implements Connections {
  readonly #pool: pg.Pool;
  readonly #namedStatements: boolean;

  constructor(options: ConnectionPoolOptions) {
    this.#namedStatements = options.namedStatements;
    this.#pool = new pg.Pool({
      connectionString: options.databaseUrl,
      max: options.poolSize,
      connectionTimeoutMillis: options.connectTimeoutMs,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      application_name: 'quartermaster',
      types: resultTypes,
    });
    this.#pool.on('error', options.onIdleError);
    this.#pool.on('connect', (client) => {
      // The pool listens to idle clients only, and an unheard error event would end the process. One in use rejects its query.
      client.on('error', () => {});
    });
  }

  /** @throws StorageError UNAVAILABLE where there is none in time */
  async connect(): Promise<Connection> {
    try {
      return new Connection(await this.#pool.connect(), this.#namedStatements);
    } catch (cause) {
      throw new StorageError('UNAVAILABLE', `no connection to the database: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/** A connection in use. Release it once, whatever happened on it: it knows itself whether it can be used again. */
export class Connection {
  readonly #client: pg.PoolClient;
  readonly #namedStatements: boolean;
  readonly #onNotice = (notice: {
    readonly code?: string | undefined;
    readonly message?: string | undefined;
  }) => {
    // 01000 comes with "committed locally" after a cancelled wait for a standby, 57P01 after a shutdown in that wait. The text
    // may be in any language, so that every warning with these codes is taken for it.
    if (notice.code === '01000' || notice.code?.startsWith('57') === true) {
      this.#warning = new Error(`${notice.code}: ${notice.message}`);
    }
  };
  #warning: Error | undefined;
  #usable = true;

  constructor(client: pg.PoolClient, namedStatements: boolean) {
    this.#client = client;
    this.#namedStatements = namedStatements;
    client.on('notice', this.#onNotice);
  }

  /** Tells one session with the server from another. */
  get session(): object {
    return this.#client;
  }

  /** @throws what the driver throws */
  async query<Row extends object>(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    const config = { text: statement.text, values: [...values] };
    const named = this.#namedStatements ? { ...config, name: statement.name } : config;
    return (await this.#guard(this.#client.query<Row>(named))).rows;
  }

  /** @throws what the driver throws */
  async run<Row>(query: CompiledQuery<Row> | { compile(): CompiledQuery<Row> }): Promise<Row[]> {
    const { sql, parameters } = 'compile' in query ? query.compile() : query;
    const result = await this.#guard(this.#client.query(sql, [...parameters]));
    return result.rows as Row[];
  }

  /** BEGIN, COMMIT or ROLLBACK. */
  async control(text: 'BEGIN' | 'COMMIT' | 'ROLLBACK'): Promise<void> {
    await this.#guard(this.#client.query(text));
  }

  /** Ends the transaction without its changes. Where that fails the connection goes, and its transaction with it. */
  async rollBack(): Promise<void> {
    try {
      await this.control('ROLLBACK');
    } catch {
      this.#usable = false;
    }
  }

  /** The warning since the last call that says that a commit may not be as durable as it claims. */
  takeWarning(): Error | undefined {
    const warning = this.#warning;
    this.#warning = undefined;
    return warning;
  }

  /** Gives up on the statement in flight: the connection is closed when it is released. */
  abandon(): void {
    this.#usable = false;
  }

  release(): void {
    this.#client.removeListener('notice', this.#onNotice);
    this.#client.release(!this.#usable);
  }

  async #guard<T>(result: Promise<T>): Promise<T> {
    try {
      return await result;
    } catch (error) {
      if (!leavesConnectionUsable(error)) this.#usable = false;
      throw error;
    }
  }
}
