import type { CompiledQuery } from 'kysely';
import pg from 'pg';
import { StorageError } from '../notary/storage.ts';
import { resultTypes } from './result-types.ts';
import { leavesConnectionUsable } from './sql-state.ts';

export interface ConnectionPoolOptions {
  readonly databaseUrl: string;
  /** Readers get four tenths of it, at least two, and writers the rest. */
  readonly poolSize: number;
  /** For a free connection of the pool, and for a new one. */
  readonly connectTimeoutMs: number;
  /** For the answer to one statement; then its connection is given up, and the statement never cancelled. */
  readonly answerTimeoutMs: number;
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

/** The server said nothing in time. What was sent may still be carried out. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** Where connections come from. */
export interface Connections {
  /** @throws StorageError UNAVAILABLE where there is none in time */
  connect(): Promise<Connection>;
}

/**
 * Connections of the application role, those of readers apart from those of writers: where writers wait (for a lock, for a
 * standby), proofs and health checks are served all the same, and long reads keep nobody from anchoring.
 */
export class ConnectionPool {
  readonly readers: Connections;
  readonly writers: Connections;
  readonly #pools: readonly pg.Pool[];
  readonly #options: ConnectionPoolOptions;
  /** When each connection last answered, on the monotonic clock. */
  readonly #answeredAtMs = new WeakMap<pg.PoolClient, number>();
  /** When the newest of the statements that were given up was. */
  #givenUpAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: ConnectionPoolOptions) {
    this.#options = options;
    const readerCount = Math.max(2, Math.floor(options.poolSize * 0.4));
    const readers = this.#open(readerCount);
    const writers = this.#open(Math.max(1, options.poolSize - readerCount));
    this.#pools = [readers, writers];
    this.readers = { connect: () => this.#connection(readers) };
    this.writers = { connect: () => this.#connection(writers) };
  }

  #open(max: number): pg.Pool {
    const options = this.#options;
    const pool = new pg.Pool({
      connectionString: options.databaseUrl,
      max,
      connectionTimeoutMillis: options.connectTimeoutMs,
      idleTimeoutMillis: 60_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      application_name: 'quartermaster',
      types: resultTypes,
      // What is asked for without waiting in between travels together.
      pipeline: true,
    });
    pool.on('error', options.onIdleError);
    pool.on('connect', (client) => {
      // The pool listens to idle clients only, and an unheard error event would end the process. One in use rejects its query.
      client.on('error', () => {});
    });
    return pool;
  }

  async #connection(pool: pg.Pool): Promise<Connection> {
    try {
      return new Connection(await this.#connect(pool), this.#options, {
        onAnswer: (client) => this.#answeredAtMs.set(client, performance.now()),
        onGivenUp: () => {
          this.#givenUpAtMs = performance.now();
        },
      });
    } catch (cause) {
      throw new StorageError('UNAVAILABLE', `no connection to the database: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /**
   * A network or a primary that vanished leaves every idle connection as dead as the one that showed it: those that have not
   * answered since are not tried one by one.
   */
  async #connect(pool: pg.Pool): Promise<pg.PoolClient> {
    for (;;) {
      const client = await pool.connect();
      const answeredAtMs = this.#answeredAtMs.get(client);
      if (answeredAtMs === undefined || answeredAtMs > this.#givenUpAtMs) return client;
      client.release(true);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.end()));
  }
}

/** What the pool is told of a connection in use. */
interface Observer {
  onAnswer(client: pg.PoolClient): void;
  onGivenUp(): void;
}

/** A connection in use. Release it once, whatever happened on it: it knows itself whether it can be used again. */
export class Connection {
  readonly #client: pg.PoolClient;
  readonly #options: Pick<ConnectionPoolOptions, 'namedStatements' | 'answerTimeoutMs'>;
  readonly #observer: Observer;
  #answerTimeoutMs: number;
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
  #silent = false;

  constructor(
    client: pg.PoolClient,
    options: Pick<ConnectionPoolOptions, 'namedStatements' | 'answerTimeoutMs'>,
    observer: Observer,
  ) {
    this.#client = client;
    this.#options = options;
    this.#answerTimeoutMs = options.answerTimeoutMs;
    this.#observer = observer;
    client.on('notice', this.#onNotice);
  }

  /** Tells one session with the server from another. */
  get session(): object {
    return this.#client;
  }

  /** @throws what the driver throws, and NoAnswer */
  async query<Row extends object>(statement: Statement, values: readonly unknown[]): Promise<Row[]> {
    const config = { text: statement.text, values: [...values] };
    const named = this.#options.namedStatements ? { ...config, name: statement.name } : config;
    return (await this.#guard(this.#client.query<Row>(named))).rows;
  }

  /** @throws what the driver throws, and NoAnswer */
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
    if (!this.#usable) return;
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

  /** Waits longer for the answers to the statements that follow, until it is released. @returns how long, in ms */
  extendAnswerTimeout(byMs: number): number {
    this.#answerTimeoutMs += byMs;
    return this.#answerTimeoutMs;
  }

  /** Not to be used again, although it works. */
  giveUp(): void {
    this.#usable = false;
  }

  release(): void {
    this.#client.removeListener('notice', this.#onNotice);
    this.#client.release(!this.#usable);
    // The driver would wait for the answers that were given up.
    if (this.#silent) this.#client.connection.stream.destroy();
  }

  async #guard<T>(result: Promise<T>): Promise<T> {
    const answerTimeoutMs = this.#answerTimeoutMs;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.#silent = true;
      this.#observer.onGivenUp();
      reject(new NoAnswer(`no answer within ${answerTimeoutMs} ms`));
    }, answerTimeoutMs);
    result.catch(() => {}); // After the time nobody else listens.
    try {
      const answer = await Promise.race([result, late]);
      this.#observer.onAnswer(this.#client);
      return answer;
    } catch (error) {
      if (!leavesConnectionUsable(error)) this.#usable = false;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }
}
