// What is asked of the user's `pg` pool and transactions. Described by shape: their `pg` may be another copy than ours, and
// declarations must not need its types.

/** A `pg.Pool`, as it is. */
export interface PostgresPool {
  connect(): Promise<PostgresConnection>;
}

/** A `pg.PoolClient`. */
export interface PostgresConnection {
  query(statement: PostgresStatement): Promise<{ rows: unknown[] }>;
  /** @param error if given the connection is closed, not used again */
  release(error?: Error): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  removeListener(event: 'error', listener: (error: Error) => void): unknown;
}

export interface PostgresStatement {
  readonly text: string;
  // pg's own type is of an array that may be changed.
  values?: unknown[];
  /** of `pg`: how long to wait for the answer */
  query_timeout?: number;
}

/** SQLSTATE of an error that the server sent: five characters, the first two of which are the class. */
export function sqlState(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('severity' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The server lost the race between transactions, or broke a deadlock: nothing was done, and again may succeed. */
export function isLostRace(error: unknown): boolean {
  const state = sqlState(error);
  return state === '40001' || state === '40P01';
}

/**
 * Whether the statement may have been carried out all the same: no answer came, or the server says that it, or a pooler, lost
 * the connection or was told to stop, which may have been in the wait for a standby.
 */
export function isUnknownOutcome(error: unknown): boolean {
  const state = sqlState(error);
  if (state === undefined || state === '40003') return true;
  return state.startsWith('08') || (state.startsWith('57') && state !== '57P03');
}
