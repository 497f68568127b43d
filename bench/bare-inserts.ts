/** The limit that Postgres sets to one statement a call: the same bytes in one row of one table, by bare node-postgres. */
import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import { keepInFlight, type LoadEvents, type Measured, type Pacing } from '../src/cli/load/keep-in-flight.ts';

const CONNECTIONS = 10;
/** About what an anchor record takes. */
const RECORD_BYTES = 420;

const TABLE = `
CREATE TABLE IF NOT EXISTS bare_anchors (anchor_id uuid PRIMARY KEY, record bytea NOT NULL, leaves bytea NOT NULL);
ALTER TABLE bare_anchors ALTER COLUMN leaves SET STORAGE EXTERNAL`;
const INSERT = {
  name: 'bare_insert',
  text: 'INSERT INTO bare_anchors (anchor_id, record, leaves) VALUES ($1, $2, $3)',
};

export async function loadInserts(
  { databaseUrl, leavesPerCall }: { readonly databaseUrl: string; readonly leavesPerCall: number },
  pacing: Pacing,
  events: LoadEvents,
): Promise<Measured> {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: CONNECTIONS });
  try {
    await pool.query(TABLE);
    const record = randomBytes(RECORD_BYTES);
    const leaves = randomBytes(leavesPerCall * 32);
    const insert = () => pool.query({ ...INSERT, values: [randomUUID(), record, leaves] });
    return await keepInFlight(pacing, insert, events);
  } finally {
    await pool.end();
  }
}
