import pg from 'pg';
import { type AppendOutcome, StorageError } from '../notary/storage.ts';
import { hintOnLostStatement } from './pooler.ts';

/** Whether the server answered with an error, rather than not at all. */
export function isFromDatabase(error: unknown): boolean {
  return error instanceof pg.DatabaseError;
}

/** Five characters, the first two of which are the class (PostgreSQL documentation, appendix A). */
function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/**
 * What a failed append statement has come to.
 *
 * @param error as thrown after the statement was sent on a connection that worked
 */
export function appendFailure(cause: unknown): AppendOutcome {
  const state = sqlState(cause);
  // No answer from the server: it may have committed before the connection went.
  if (state === undefined) return { kind: 'unknown', cause };
  if (state === '23505') return { kind: 'conflict', duplicateKey: true, cause };
  if (state === '40001' || state === '40P01') return { kind: 'conflict', duplicateKey: false, cause };
  switch (state.slice(0, 2)) {
    case '22':
    case '23':
    case '54':
      return { kind: 'rejected', cause };
    case '57': // cancelled or shut down, perhaps in the wait for a standby; but 57P03 is said to newcomers only
      return state === '57P03' ? { kind: 'unavailable', cause } : { kind: 'unknown', cause };
    case '08': // said by poolers that lost the server's connection
      return { kind: 'unknown', cause };
    default: // 25006, classes 53 and 58, 55P03, and what only a wrong set-up brings: refused as a whole
      return state === '40003' ? { kind: 'unknown', cause } : { kind: 'unavailable', cause };
  }
}

/** The same for a statement inside a transaction whose COMMIT was not sent: whatever happened, nothing was written. */
export function uncommittedFailure(cause: unknown): AppendOutcome {
  const outcome = appendFailure(cause);
  return outcome.kind === 'unknown' ? { kind: 'unavailable', cause } : outcome;
}

/** What a failed query of any other kind is to the domain. */
export function toStorageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const state = sqlState(error);
  if (state === undefined) {
    const code = error instanceof TypeError || error instanceof RangeError ? 'INTERNAL' : 'UNAVAILABLE';
    return new StorageError(code, `the database did not answer: ${message}`, { cause: error });
  }
  const detail = `the database answered ${state}: ${message}${hintOnLostStatement(state)}`;
  if (state === 'XX001' || state === 'XX002') return new StorageError('CORRUPT', detail, { cause: error });
  const passing = ['08', '25', '40', '53', '55', '57', '58'].includes(state.slice(0, 2));
  return new StorageError(passing ? 'UNAVAILABLE' : 'INTERNAL', detail, { cause: error });
}

/**
 * Whether a connection can go back to the pool after this error. It cannot where the server closes it (08, 57), where its
 * prepared statements are of no use any more (0A000 after a change of schema, 26000 behind a pooler), or for what nobody
 * thought of: a new connection costs little.
 */
export function leavesConnectionUsable(error: unknown): boolean {
  const state = sqlState(error);
  return state !== undefined && ['22', '23', '40', '54', '55'].includes(state.slice(0, 2));
}
