import pg from 'pg';
import type { TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';

/** Tables of history, each with its triggers that refuse changes. */
type HistoryTable = 'heads' | 'anchors' | 'anchor_leaves' | 'anchor_leaves_default' | 'log_nodes';

/** Whoever owns the database: switches the seat belts off and writes what they like. */
export class TamperingOwner {
  readonly #database: TestDatabase;

  constructor(database: TestDatabase) {
    this.#database = database;
  }

  /** Runs one statement with the triggers of a table off; it must hit exactly `rows` rows. */
  async change(table: HistoryTable, statement: string, values: readonly unknown[], rows = 1): Promise<void> {
    await withClient(this.#database.ownerUrl, async (client) => {
      const switchTriggers = (to: 'DISABLE' | 'ENABLE') =>
        client.query(
          ['anchor_leaves', 'anchor_leaves_default']
            .concat(table)
            .map((name) => `ALTER TABLE ${name} ${to} TRIGGER insert_only`)
            .join(';'),
        );
      await switchTriggers('DISABLE');
      const { rowCount } = await client.query(statement, [...values]);
      await switchTriggers('ENABLE');
      if (rowCount !== rows) throw new Error(`${rowCount} rows were hit, not ${rows}: ${statement}`);
    });
  }

  /** Flips the lowest bit of the first byte of a column of one row. */
  flip(table: HistoryTable, column: string, where: string, values: readonly unknown[]): Promise<void> {
    const flipped = `set_byte(${column}, 0, get_byte(${column}, 0) # 1)`;
    return this.change(table, `UPDATE ${table} SET ${column} = ${flipped} WHERE ${where}`, values);
  }

  /** Deletes everything past a size, heads and all, as a restore of an older backup would. */
  async rollBack(clusterId: string, size: number): Promise<void> {
    const values = [clusterId, size];
    const gone = await withClient(this.#database.ownerUrl, async (client) => {
      const count = async (text: string) => (await client.query<{ n: number }>(text, values)).rows[0]!.n;
      return {
        heads: await count('SELECT count(*)::int4 AS n FROM heads WHERE cluster_id = $1 AND size > $2'),
        anchors: await count(
          'SELECT count(*)::int4 AS n FROM anchors WHERE cluster_id = $1 AND log_index >= $2',
        ),
      };
    });
    await this.change(
      'anchor_leaves',
      `DELETE FROM anchor_leaves WHERE cluster_id = $1 AND anchor_id IN
         (SELECT anchor_id FROM anchors WHERE cluster_id = $1 AND log_index >= $2)`,
      values,
      gone.anchors,
    );
    await this.change(
      'anchors',
      'DELETE FROM anchors WHERE cluster_id = $1 AND log_index >= $2',
      values,
      gone.anchors,
    );
    await this.change('heads', 'DELETE FROM heads WHERE cluster_id = $1 AND size > $2', values, gone.heads);
  }

  /** Keeps a copy of the whole database; what is connected to it is cut off. @returns how to put the copy in its place */
  async copyDatabase(): Promise<() => Promise<void>> {
    const { name, superuserUrl } = this.#database;
    const copy = `${name}_copy`;
    const maintenance = new URL(superuserUrl);
    maintenance.pathname = '/postgres';
    const run = (work: (client: pg.Client) => Promise<void>) => withClient(maintenance.href, work);
    const cutOff = (client: pg.Client) =>
      client.query('SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1', [
        name,
      ]);
    const owner = pg.escapeIdentifier(new URL(this.#database.ownerUrl).username);
    await run(async (client) => {
      await cutOff(client);
      await client.query(`CREATE DATABASE ${copy} TEMPLATE ${name} OWNER ${owner}`);
    });
    return () =>
      run(async (client) => {
        await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
        await client.query(`ALTER DATABASE ${copy} RENAME TO ${name}`);
      });
  }
}
