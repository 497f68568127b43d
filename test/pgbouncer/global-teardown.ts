import { poolerTotals } from '../support/pgbouncer.ts';
import tearDownPostgres from '../support/postgres-global-teardown.ts';

/** A run whose servers reached Postgres by another way would prove nothing. */
export default async function tearDown(): Promise<void> {
  const pooler = globalThis.quartermasterTestServer?.pooler;
  const totals = pooler === undefined ? [] : await poolerTotals(pooler.consoleUrl);
  await tearDownPostgres();
  const databases = totals.filter(({ database }) => database.startsWith('qm_test_'));
  const transactions = databases.reduce((sum, { xact_count }) => sum + Number(xact_count), 0);
  console.log(`pgbouncer: ${transactions} transactions on ${databases.length} databases`);
  if (transactions === 0) throw new Error('nothing went through PgBouncer');
}
