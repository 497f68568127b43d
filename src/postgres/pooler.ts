import pg from 'pg';
import type { Connection, Statement } from './connection-pool.ts';

/** Always this name: one that an earlier start left behind in the pooler's connections is found too. */
const PROBE: Statement = { name: 'qm_pooler_1', text: 'SELECT 1 AS one' };

/** Of a prepared statement: no such one, and one of this name already. */
const LOST = new Set(['26000', '42P05']);

const ADVICE =
  'loses prepared statements: set QUARTERMASTER_NAMED_STATEMENTS=false, or use PgBouncer 1.21 or later with max_prepared_statements above 0';

/**
 * Whether a pooler gives one connection's prepared statements to another, found out by trying: two connections use the same
 * name in turns. Behind PgBouncer before 1.21 in transaction mode they come by the same connection to the
 * server, unless others are so busy that they never do; then calls fail, and their errors say the same.
 *
 * @returns why named statements cannot be used, or undefined
 * @throws what the driver throws
 */
export async function findLostStatements(a: Connection, b: Connection): Promise<string | undefined> {
  for (const connection of [a, b, b, a, a, b]) {
    const loss = await tryNamed(connection);
    if (loss !== undefined) return `A pooler before the database ${ADVICE} (it says: ${loss}).`;
  }
  return undefined;
}

/** What to add to an error that only poolers bring about; empty for every other. */
export function hintOnLostStatement(sqlState: string): string {
  return LOST.has(sqlState) ? `; a pooler before the database ${ADVICE}` : '';
}

async function tryNamed(connection: Connection): Promise<string | undefined> {
  try {
    await connection.query(PROBE, []);
    return undefined;
  } catch (error) {
    if (error instanceof pg.DatabaseError && LOST.has(error.code ?? '')) return error.message;
    throw error;
  }
}
