import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import { HeldAppends } from '../integration/held-appends.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { reservePort } from '../support/reserve-port.ts';
import { expectAnchored, expectEachProvable, expectProvable, sampleOf } from './proven-rows.ts';
import { type GatewayReport, RustGateway, type RustGatewayOptions } from './rust-gateway.ts';

// With a real server and the real gateway, in all of the ways that it was found in. Seen red with a gateway that loses one
// leaf of each call that fails, and with a server that takes the first two leaves of a batch in the wrong order.
//
// Lost leaves are not allowed, anchors that nobody was told of are: without a request_id a resend is a second anchor.

const SEED = new Uint8Array(32).fill(7);
const NEVER_MS = 3_600_000;

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

/** Quickly made, for hundreds of thousands. */
function digestsNamed(name: string, count: number): Uint8Array {
  return new Uint8Array(
    createHash('shake256', { outputLength: count * 32 })
      .update(name)
      .digest(),
  );
}

/** `quartermaster serve`, with one seed throughout. */
async function startOn(port: number, environment: Record<string, string> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({
    databaseUrl: database.databaseUrl,
    seed: SEED,
    environment: { QUARTERMASTER_LISTEN: `127.0.0.1:${port}`, ...environment },
  });
  cleanups.push(() => server.kill('SIGKILL'));
  return server;
}

async function startGateway(options: RustGatewayOptions): Promise<RustGateway> {
  const gateway = await RustGateway.start(options);
  cleanups.push(() => gateway.discard());
  return gateway;
}

const anchored = (report: GatewayReport) => report.kind === 'anchored';
const failed = (report: GatewayReport) => report.kind === 'failed';

describe('a notary that is away, and killed in the middle of calls', () => {
  const BACKLOG = 300_000;
  const LATER = 1_000;

  test('gets every event of a backlog of 300,000 anchored and provable', async () => {
    const [serverPort, gatewayPort] = [await reservePort(), await reservePort()];
    const serve = () => startOn(serverPort);
    let server = await serve();
    const caller = await CarefulCaller.ofNewCluster(server, SEED);
    await server.kill('SIGTERM');

    const leaves = digestsNamed('backlog', BACKLOG + 3 * LATER);
    const leavesFrom = (start: number, count: number) => leaves.subarray(start * 32, (start + count) * 32);
    const entries = async () => (await caller.fsck(database.storage, SEED)).entries;

    // Away at the start.
    const proxy = new FaultProxy(serverPort);
    cleanups.push(() => proxy.close());
    const address = `127.0.0.1:${gatewayPort}`;
    const gateway = await startGateway({ address, clusterId: caller.clusterId });
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
    expect(await caller.fsck(database.storage, SEED)).toMatchObject({ finding: undefined });

    async function killed(process: ServerProcess): Promise<void> {
      const from = gateway.reports.length;
      await process.kill('SIGKILL');
      await gateway.told(failed, from);
    }
  });
});

describe('a notary that is there', () => {
  test('gets what came within each interval, over one connection after the other', async () => {
    const port = await reservePort();
    const server = await startOn(port, { QUARTERMASTER_MAX_CONNECTION_AGE: '1s' });
    const caller = await CarefulCaller.ofNewCluster(server, SEED);
    const proxy = new FaultProxy(port);
    cleanups.push(() => proxy.close());
    const gatewayPort = await reservePort();
    await proxy.listen(gatewayPort);
    const gateway = await startGateway({
      address: `127.0.0.1:${gatewayPort}`,
      clusterId: caller.clusterId,
      flushSize: 1_000_000,
      flushIntervalMs: 50,
    });

    const submitted: Uint8Array[] = [];
    while (proxy.connections < 3) {
      const from = gateway.reports.length;
      const leaves = leavesNamed(`round ${submitted.length}`, 7);
      await gateway.submit(leaves);
      submitted.push(leaves);
      await gateway.told(anchored, from);
    }
    const rows = await gateway.finish();
    expect(new Set(rows.map(({ anchor_id }) => anchor_id)).size).toBeGreaterThanOrEqual(submitted.length);
    await expectAnchored(server, caller, rows, Buffer.concat(submitted));
    await expectProvable(server, caller, rows);
  });

  test('gets a full buffer at once, and what is left at the end', async () => {
    const server = await startOn(0);
    const caller = await CarefulCaller.ofNewCluster(server, SEED);
    const { address } = server;
    const { clusterId } = caller;
    const gateway = await startGateway({ address, clusterId, flushSize: 100, flushIntervalMs: NEVER_MS });
    const leaves = digestsNamed('sizes', 250);
    await gateway.submit(leaves.subarray(0, 100 * 32));
    await gateway.told(anchored);
    await gateway.submit(leaves.subarray(100 * 32, 199 * 32));
    await gateway.submit(leaves.subarray(199 * 32, 200 * 32));
    await gateway.told((report) => anchored(report) && report.call === 2);
    await gateway.submit(leaves.subarray(200 * 32));
    const rows = await gateway.finish();
    expect(gateway.reports.filter(anchored).map((report) => report.leaves)).toEqual([100, 100, 50]);
    await expectAnchored(server, caller, rows, leaves);
    await expectEachProvable(server, caller, rows);
  });
});

describe('limits', () => {
  const ANSWERED_AT_ONCE = [
    { name: 'the most leaves that a notary takes by default', leafCount: 1_048_576, environment: {} },
    {
      name: 'so many that their indexes alone would be more than 4 MiB, where the operator allows it',
      leafCount: 1_500_000,
      environment: { QUARTERMASTER_MAX_LEAF_COUNT: '4194304', QUARTERMASTER_MAX_MESSAGE_BYTES: '160MiB' },
    },
  ];
  // Seen red with leaf_indices listed whatever their number, which tonic refuses, for ever.
  test.each(ANSWERED_AT_ONCE)('let through $name, in one call', async ({ leafCount, environment }) => {
    const server = await startOn(0, environment);
    const caller = await CarefulCaller.ofNewCluster(server, SEED);
    const gateway = await startGateway({
      address: server.address,
      clusterId: caller.clusterId,
      flushSize: leafCount,
      flushIntervalMs: NEVER_MS,
    });
    const leaves = digestsNamed('many', leafCount);
    await gateway.submit(leaves);
    const outcome = await gateway.told(({ kind }) => kind !== 'sending');
    expect(outcome).toMatchObject({ kind: 'anchored', leaves: leafCount, leaf_count: leafCount });
    const rows = await gateway.finish();
    await expectAnchored(server, caller, rows, leaves);
    await expectProvable(server, caller, sampleOf(rows, 1_000));
    await expectEachProvable(server, caller, sampleOf(rows, 100));
  });

  test('that refuse the whole backlog lose nothing of it, and raised ones let it through', async () => {
    const port = await reservePort();
    const strict = await startOn(port, { QUARTERMASTER_MAX_LEAF_COUNT: '100' });
    const caller = await CarefulCaller.ofNewCluster(strict, SEED);
    const { address } = strict;
    const gateway = await startGateway({ address, clusterId: caller.clusterId, flushSize: 1_000 });
    const leaves = digestsNamed('too many', 2_000);
    await gateway.submit(leaves.subarray(0, 1_500 * 32));
    // It does what it always does, which a limit cannot end: so the default must be beyond what it ever holds.
    for (let from = 0; from < 6; from = gateway.reports.length) {
      expect(await gateway.told(failed, from)).toMatchObject({ code: 'ResourceExhausted' });
    }
    await gateway.submit(leaves.subarray(1_500 * 32));
    await strict.kill('SIGTERM');

    const server = await startOn(port);
    const rows = await gateway.finish();
    await expectAnchored(server, caller, rows, leaves);
    await expectProvable(server, caller, rows);
    expect(await caller.fsck(database.storage, SEED)).toMatchObject({ finding: undefined });
  });
});
