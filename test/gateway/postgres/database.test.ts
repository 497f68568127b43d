import { expect, test } from '@jest/globals';
import { Database } from '../../../src/gateway/postgres/database.ts';
import type { PostgresConnection, PostgresPool } from '../../../src/gateway/postgres/index.ts';

// Red when a pool is waited for without end.
test('a pool that gives no connection is a failure, and what it gives too late goes back', async () => {
  let released = 0;
  const given: ((connection: PostgresConnection) => void)[] = [];
  const pool: PostgresPool = { connect: () => new Promise((resolve) => given.push(resolve)) };
  await expect(new Database(pool, 5).run('do it', 'SELECT 1')).rejects.toMatchObject({
    code: 'OUTBOX_FAILED',
    message: expect.stringContaining('the pool gave no connection within 5 ms'),
  });
  const connection = { release: () => void released++ } as unknown as PostgresConnection;
  for (const give of given) give(connection);
  await new Promise(setImmediate);
  expect(released).toBe(given.length);
});
