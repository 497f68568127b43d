import { afterAll, beforeAll } from '@jest/globals';
import { postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import { describeOutbox } from '../outbox-contract.ts';
import { type GatewayDatabase, openGatewayDatabase } from './gateway-database.ts';

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
