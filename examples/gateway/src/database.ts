import { readdir, readFile } from 'node:fs/promises';
import type { Pool, PoolClient } from 'pg';

const MIGRATIONS = new URL('../migrations/', import.meta.url);

/** Both, the action and its audit event, or neither. */
export async function inTransaction<T>(pool: Pool, work: (tx: PoolClient) => Promise<T>): Promise<T> {
  const tx = await pool.connect();
  let broken: Error | undefined;
  try {
    await tx.query('BEGIN');
    const result = await work(tx);
    await tx.query('COMMIT');
    return result;
  } catch (error) {
    await tx.query('ROLLBACK').catch((lost: Error) => {
      broken = lost;
    });
    throw error;
  } finally {
    tx.release(broken);
  }
}

/** Runs the numbered files that this database has not seen; several replicas may start at once. */
export async function migrate(pool: Pool): Promise<void> {
  const files = (await readdir(MIGRATIONS)).filter((name) => name.endsWith('.sql')).sort();
  await inTransaction(pool, async (tx) => {
    await tx.query(`SELECT pg_advisory_xact_lock(hashtext('approvals migrations'))`);
    await tx.query('CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)');
    const { rows } = await tx.query<{ name: string }>('SELECT name FROM migrations');
    const done = new Set(rows.map(({ name }) => name));
    for (const name of files.filter((file) => !done.has(file))) {
      await tx.query(await readFile(new URL(name, MIGRATIONS), 'utf8'));
      await tx.query('INSERT INTO migrations VALUES ($1)', [name]);
    }
  });
}
