import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import { HeldAppends } from '../integration/held-appends.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { expectAnchored, expectEachProvable, expectProvable, sampleOf } from './proven-rows.ts';
import { type GatewayReport, RustGateway } from './rust-gateway.ts';
import { reservePort, StoppingProxy } from './stopping-proxy.ts';

// Lost leaves are not allowed, anchors that nobody was told of are: without a request_id a resend is a second anchor.

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(async () => {
  await database.close();
});

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

const anchored = (report: GatewayReport) => report.kind === 'anchored';
const failed = (report: GatewayReport) => report.kind === 'failed';

describe('a notary that is away, and killed in the middle of calls', () => {
  const BACKLOG = 300_000;
  const LATER = 1_000;

  test('gets every event of a backlog of 300,000 anchored and provable', async () => {
    const [serverPort, gatewayPort] = [await reservePort(), await reservePort()];
    const seed = new Uint8Array(32).fill(7);
    const serve = () =>
      startServerProcess({
        databaseUrl: database.databaseUrl,
        seed,
        environment: { QUARTERMASTER_LISTEN: `127.0.0.1:${serverPort}` },
      });
    let server = await serve();
    cleanups.push(() => server.kill('SIGTERM'));
    const caller = await CarefulCaller.ofNewCluster(server, seed);
    await server.kill('SIGTERM');

    const leaves = leavesNamed('backlog', BACKLOG + 3 * LATER);
    const leavesFrom = (start: number, count: number) => leaves.subarray(start * 32, (start + count) * 32);
    const entries = async () => (await caller.fsck(database.storage, seed)).entries;

    // Away at the start.
    const proxy = new StoppingProxy(serverPort);
    cleanups.push(() => proxy.close());
    const address = `127.0.0.1:${gatewayPort}`;
    const gateway = await RustGateway.start({ address, clusterId: caller.clusterId });
    cleanups.push(() => gateway.discard());
    await gateway.submit(leavesFrom(0, BACKLOG));
    await gateway.told((report) => failed(report) && report.leaves === BACKLOG);
    expect(gateway.reports.filter(failed)).toEqual(gateway.reports.filter(({ kind }) => kind !== 'sending'));
    expect(gateway.reports.find(failed)).toMatchObject({ code: 'Unavailable' });
    await proxy.listen(gatewayPort);

    // Killed while a request arrives.
    const inRequest = proxy.stopInRequest(5_000_000);
    server = await serve();
    await inRequest;
    await killed(server);
    expect(await entries()).toBe(0);
    await gateway.submit(leavesFrom(BACKLOG, LATER));

    // Killed while its append waits in the database, which then commits it.
    await proxy.close();
    server = await serve();
    // A server that knows a log only from the database would wait before it appends.
    await caller.anchor(server, leavesNamed('somebody else'));
    const held = await HeldAppends.hold(database, caller.clusterId, () => proxy.listen(gatewayPort));
    await killed(server);
    await held.release();
    expect(await entries()).toBe(2);
    await gateway.submit(leavesFrom(BACKLOG + LATER, LATER));

    // Killed when the answer had left it, and had not come.
    const answer = proxy.stopBeforeAnswer();
    server = await serve();
    await answer;
    await killed(server);
    expect(await entries()).toBe(3);
    await gateway.submit(leavesFrom(BACKLOG + 2 * LATER, LATER));

    server = await serve();
    const rows = await gateway.finish();
    expect(gateway.reports.filter(anchored).length).toBe((await entries()) - 3);

    await expectAnchored(server, caller, rows, leaves);
    await expectProvable(server, caller, sampleOf(rows, 5_000));
    await expectEachProvable(server, caller, sampleOf(rows, 500));
    expect(await caller.fsck(database.storage, seed)).toMatchObject({ finding: undefined });

    async function killed(process: ServerProcess): Promise<void> {
      const from = gateway.reports.length;
      await process.kill('SIGKILL');
      await gateway.told(failed, from);
    }
  });
});
