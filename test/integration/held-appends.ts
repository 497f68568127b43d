import pg from 'pg';
import type { TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';
import { eventually, waitingBackend } from '../support/postgres-waits.ts';

const APPEND = /INSERT INTO heads/;

/** Keeps appends to one cluster waiting inside the database, so that something can be done to a server in mid-call. */
export class HeldAppends {
  readonly #client: pg.Client;

  private constructor(client: pg.Client) {
    this.#client = client;
  }

  /**
   * Resolves once an append waits.
   *
   * @param whenHeld starts the calls, where they must not come before
   */
  static async hold(
    { superuserUrl }: TestDatabase,
    clusterId: string,
    whenHeld?: () => Promise<void>,
  ): Promise<HeldAppends> {
    const client = new pg.Client({ connectionString: superuserUrl });
    // Where a test fails half-way, the database is dropped under it.
    client.on('error', () => {});
    await client.connect();
    await client.query('BEGIN');
    await client.query('SELECT FROM clusters WHERE cluster_id = $1 FOR UPDATE', [clusterId]);
    await whenHeld?.();
    // Not from inside the transaction: within one, pg_stat_activity stays as it was at the first look.
    await withClient(superuserUrl, (observer) => waitingBackend(observer, 'Lock', APPEND));
    return new HeldAppends(client);
  }

  /** Lets them go on. Resolves once none is under way, whether its server still lives or not. */
  async release(): Promise<void> {
    await this.#client.query('COMMIT');
    await eventually(async () => {
      const { rowCount } = await this.#client.query(
        `SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND state <> 'idle' AND query ~ $1 AND pid <> pg_backend_pid()`,
        [APPEND.source],
      );
      return rowCount === 0 ? true : undefined;
    });
    await this.#client.end();
  }
}
