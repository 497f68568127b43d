import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { RustGateway } from './rust-gateway.ts';

describe('the gateway that exists', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  let caller: CarefulCaller;

  beforeAll(async () => {
    database = await openTestDatabase();
    server = await startServerProcess({ databaseUrl: database.databaseUrl });
    caller = await CarefulCaller.ofNewCluster(server, server.seed);
  });
  afterAll(async () => {
    await server.kill('SIGTERM');
    await database.close();
  });

  test('finds every leaf where it noted it', async () => {
    const leaves = leavesNamed('event', 5_000);
    const gateway = await RustGateway.start({ address: server.address, clusterId: caller.clusterId });
    await gateway.submit(leaves);
    const rows = await gateway.finish();
    await gateway.discard();
    expect(rows.map(({ event }) => event)).toEqual(Array.from({ length: 5_000 }, (_, i) => i));
    const { receipt } = await server.notary.getInclusionProof({
      anchorId: rows.at(-1)!.anchor_id,
      leafIndex: rows.at(-1)!.leaf_index,
    });
    expect(Buffer.from(receipt!.leaf).toString('hex')).toBe(rows.at(-1)!.leaf);
    expect(receipt!.leaf).toEqual(leaves.slice(-32));
  });
});
