import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { BatchStore } from '../../../src/gateway/postgres/batch-store.ts';
import { Database } from '../../../src/gateway/postgres/database.ts';
import { outboxNames } from '../../../src/gateway/postgres/names.ts';
import { type GatewayDatabase, openGatewayDatabase } from './gateway-database.ts';

const TAKER = '0190ffff-0000-4000-8000-000000000001';

let gateway: GatewayDatabase;
beforeAll(async () => {
  gateway = await openGatewayDatabase();
});
afterAll(async () => {
  await gateway.close();
});

// Red when one statement's worth is forgotten: a gateway that settles more in a minute would keep the rest for ever.
test('all that was settled long ago is forgotten at once, and nothing else', async () => {
  const names = outboxNames('quartermaster_outbox');
  await gateway.query(
    `INSERT INTO ${names.settled} (request_id, anchor_id, sequences, first_sequence, last_sequence, settled_by, settled_at)
SELECT gen_random_uuid(), 'anchor', ARRAY[n], n, n, '${TAKER}',
  clock_timestamp() - CASE WHEN n <= 450 THEN interval '16 minutes' ELSE interval '14 minutes' END
FROM generate_series(1, 455) AS n`,
  );
  await new BatchStore(new Database(gateway.pool, 10_000), names, TAKER, undefined).sweep();
  const { rows } = await gateway.query(
    `SELECT first_sequence::integer AS n FROM ${names.settled} ORDER BY n`,
  );
  expect(rows.map(({ n }) => n)).toEqual([451, 452, 453, 454, 455]);
});
