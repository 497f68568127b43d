import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import { withClient } from '../../support/postgres-template.ts';
import { contextOf, describeOutbox, leafOf, numbersOf } from '../outbox-contract.ts';
import { type GatewayDatabase, openGatewayDatabase, taken } from './gateway-database.ts';

let gateway: GatewayDatabase;
beforeAll(async () => {
  gateway = await openGatewayDatabase();
});
afterAll(async () => {
  await gateway.close();
});

let stores = 0;

describeOutbox('postgres', {
  isDurable: true,
  isBounded: true,
  async create(limits) {
    // One schema is one store.
    const schema = `store "${++stores}"`;
    const options = { pool: gateway.pool, schema, events: { table: 'audit_events' }, ...limits };
    await postgresOutbox(options).migrate();
    return {
      outbox: () => postgresOutbox(options),
      destroy: async () => {
        await gateway.query(`DROP SCHEMA "store ""${stores}""" CASCADE`);
      },
    };
  },
});

// Red when the whole group is refused for the fault of one.
test('an event id that the encoding of the database lacks is refused alone', async () => {
  const { superuserUrl, name } = gateway.database;
  const latin = `${name}_latin1`;
  await withClient(superuserUrl, async (client) => {
    await client.query(`CREATE DATABASE ${latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`);
  });
  const url = new URL(superuserUrl);
  url.pathname = `/${latin}`;
  const pool = new pg.Pool({ connectionString: url.href, max: 2 });
  try {
    const outbox = postgresOutbox({ pool });
    await outbox.migrate();
    await outbox.open(contextOf());
    const ids = ['plain', 'größer', 'キャッチ', undefined];
    const answers = await Promise.allSettled(ids.map((eventId, n) => outbox.append(leafOf(n), eventId)));
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'fulfilled']);
    expect(answers[2]).toMatchObject({ reason: { code: 'OUTBOX_FAILED', cause: { code: '22P05' } } });
    const batch = await taken(outbox);
    expect(numbersOf(batch.packedLeaves)).toEqual([0, 1, 3]);
    expect(batch.eventIds).toEqual(['plain', 'größer', undefined]);
    await outbox.close();
  } finally {
    await pool.end();
    await withClient(superuserUrl, async (client) => {
      await client.query(`DROP DATABASE ${latin} WITH (FORCE)`);
    });
  }
});
