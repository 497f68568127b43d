import { GatewayError } from '../error.ts';
import {
  isLostRace,
  isUnknownOutcome,
  type PostgresConnection,
  type PostgresPool,
  sqlState,
} from './connection.ts';

/** Lost races are rare: only a role whose transactions are serializable by default sees several in a row. */
const MAX_TRIES = 20;

/** Runs one statement, and gives its rows. Everything in them was made text by the statement itself. */
export type Query = (text: string, values?: readonly unknown[]) => Promise<readonly Row[]>;

/**
 * A row whose columns are text, booleans or null: how `pg` reads other types can be changed for a whole process
 * (`pg.types.setTypeParser`), and often is.
 */
export type Row = Readonly<Record<string, unknown>>;

/** The gateway's database, by the gateway's own pool. Leaves nothing behind in a session, so that poolers may share it. */
export class Database {
  readonly #pool: PostgresPool;
  readonly #timeoutMs: number;

  /** @param timeoutMs how long to wait for a connection, and for the answer to one statement */
  constructor(pool: PostgresPool, timeoutMs: number) {
    this.#pool = pool;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Runs a statement that does the same, or finds it done, when it runs again: it is run a second time where the first has no
   * known outcome, since a connection that idled may have been cut long ago.
   *
   * @param doing for the message, for example `settle a batch`
   * @throws {GatewayError} OUTBOX_FAILED
   */
  async run(doing: string, text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return await this.session(doing, (query) => query(text, values));
  }

  /**
   * Work on one connection, which must end what it begins. Must be harmless when it runs again.
   *
   * @param work told whether it may have been done already, by a try whose answer was lost
   * @throws {GatewayError} OUTBOX_FAILED
   */
  async session<T>(doing: string, work: (query: Query, mayBeDone: boolean) => Promise<T>): Promise<T> {
    let wasLost = false;
    for (let tries = 1; ; tries++) {
      try {
        const mayBeDone = wasLost;
        return await this.once((query) => work(query, mayBeDone));
      } catch (error) {
        if (error instanceof GatewayError) throw error;
        const lostNow = isUnknownOutcome(error);
        if (tries < MAX_TRIES && (isLostRace(error) || (lostNow && !wasLost))) {
          wasLost ||= lostNow;
          continue;
        }
        throw outboxFailed(doing, error);
      }
    }
  }

  /** The same, once. @throws what the driver throws */
  async once<T>(work: (query: Query) => Promise<T>): Promise<T> {
    const connection = await this.#connect();
    // The query in flight, or the next one, is rejected with it; without a listener it would end the process.
    const ignore = (): void => {};
    connection.on('error', ignore);
    let failure: Error | undefined;
    try {
      return await work(this.#queryOn(connection));
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
      throw error;
    } finally {
      connection.removeListener('error', ignore);
      // One that may be in the midst of something is not given to others.
      connection.release(failure);
    }
  }

  /** A pool waits without end for a connection that comes back, or for a host that says nothing, unless it is told otherwise. */
  async #connect(): Promise<PostgresConnection> {
    const connecting = this.#pool.connect();
    let timer: NodeJS.Timeout | undefined;
    const tooLate = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => {
        reject(new Error(`the pool gave no connection within ${this.#timeoutMs} ms`));
        connecting.then(
          (connection) => connection.release(),
          () => {},
        );
      }, this.#timeoutMs);
    });
    try {
      return await Promise.race([connecting, tooLate]);
    } finally {
      clearTimeout(timer);
    }
  }

  #queryOn(connection: PostgresConnection): Query {
    return async (text, values = []) => {
      const { rows } = await connection.query({ text, values: [...values], query_timeout: this.#timeoutMs });
      return rows as Row[];
    };
  }
}

export function outboxFailed(doing: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  const state = sqlState(cause);
  const said = cause instanceof Error ? cause.message : String(cause);
  const who = state === undefined ? 'the database did not answer' : `the database answered ${state}`;
  return new GatewayError('OUTBOX_FAILED', `cannot ${doing}: ${who}: ${said}`, { cause });
}
