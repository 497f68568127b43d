import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { CarefulCaller, leavesNamed } from './careful-caller.ts';
import { HealthProbe } from './health-probe.ts';
import { HeldAppends } from './held-appends.ts';
import { LoadUntilKilled } from './load-until-killed.ts';
import { expectRefusal } from './refusals.ts';
import { type ServerProcess, type ServerProcessOptions, startServerProcess } from './server-process.ts';

// The real program, and the signals that end it.

const GRACE_MS = 5_000;
const IN_FLIGHT = 16;

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

const started: ServerProcess[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server.kill('SIGKILL');
});

async function start(options: Omit<ServerProcessOptions, 'databaseUrl'> = {}): Promise<ServerProcess> {
  const environment = { QUARTERMASTER_SHUTDOWN_GRACE: `${GRACE_MS}ms`, ...options.environment };
  const server = await startServerProcess({ databaseUrl: database.databaseUrl, ...options, environment });
  started.push(server);
  return server;
}

describe('a server under load', () => {
  // Seen red with members answered before storage.append in Sequencer: anchors that were answered were not there.
  test('that is killed in mid-append has lost nothing that it answered, and makes each request_id one anchor', async () => {
    const server = await start();
    const caller = await CarefulCaller.ofNewCluster(server, server.seed);
    const load = new LoadUntilKilled(server, caller, IN_FLIGHT);
    await load.whenAnswered(200);
    const held = await HeldAppends.hold(database, caller.clusterId);
    expect(await server.kill('SIGKILL')).toMatchObject({ code: null, signal: 'SIGKILL' });
    await load.ended();
    expect(load.unanswered).toHaveLength(IN_FLIGHT);
    // The database still commits what it was sent, and has nobody to tell.
    await held.release();
    const written = await database.storage.readLog(caller.clusterId);
    expect(written?.head.size).toBeGreaterThan(load.answered.length);

    const next = await start({ seed: server.seed });
    await load.expectNothingLost(next, database, server.seed);
  });

  // Seen red with the grace taken for 0, and with process.exit on the signal: what was in flight was written, and not answered.
  test('that is told to end answers what it has, refuses the rest as UNAVAILABLE, and exits with 0 in time', async () => {
    const server = await start();
    const caller = await CarefulCaller.ofNewCluster(server, server.seed);
    // Streams that nobody ends must not keep it.
    const { clusterId } = caller;
    const watching = collect(server.notary.watchCheckpoints({ clusterId }));
    const load = new LoadUntilKilled(server, caller, IN_FLIGHT);
    await load.whenAnswered(200);
    const held = await HeldAppends.hold(database, clusterId);
    const answeredBefore = load.answered.length;

    const signalledAt = performance.now();
    const ending = server.kill('SIGTERM');
    await server.output(/"msg":"(shutting down)"/);
    await held.release();
    const ended = await ending;
    expect(performance.now() - signalledAt).toBeLessThan(GRACE_MS + 2_000);
    expect(ended).toMatchObject({ code: 0, signal: null, stderr: '' });
    await load.ended();
    expect(load.answered.length - answeredBefore).toBe(IN_FLIGHT);
    expect(new Set(load.unanswered.map(({ code }) => code))).toEqual(new Set(['UNAVAILABLE']));
    expect(await watching).toBeGreaterThan(0);
    // What was refused was not written.
    const written = await database.storage.readLog(clusterId);
    expect(written?.head.size).toBe(load.answered.length);

    const next = await start({ seed: server.seed });
    await load.expectNothingLost(next, database, server.seed);
  });

  // Seen red with the drain waiting longer than the grace.
  test('that is told to end while its database does not answer ends all the same, with 0, at the end of its grace', async () => {
    const server = await start({ environment: { QUARTERMASTER_SHUTDOWN_GRACE: '500ms' } });
    const caller = await CarefulCaller.ofNewCluster(server, server.seed);
    const load = new LoadUntilKilled(server, caller, IN_FLIGHT);
    await load.whenAnswered(1);
    const held = await HeldAppends.hold(database, caller.clusterId);
    const signalledAt = performance.now();
    expect(await server.kill('SIGTERM')).toMatchObject({ code: 0, signal: null });
    // The grace, and a few seconds for connections that do not end.
    expect(performance.now() - signalledAt).toBeLessThan(6_500);
    await load.ended();
    await held.release();
    const next = await start({ seed: server.seed });
    await load.expectNothingLost(next, database, server.seed);
  });

  // Seen red with the bytes of the request logged.
  test('logs no leaf and no seed', async () => {
    const server = await start({ environment: { QUARTERMASTER_LOG_LEVEL: 'trace' } });
    const caller = await CarefulCaller.ofNewCluster(server, server.seed);
    const leaves = leavesNamed('secret', 2);
    const { verified } = await caller.anchor(server, leaves);
    await expectRefusal(server.notary.createAnchor({ clusterId: caller.clusterId, leaves: [leaves] }), {
      code: 'INVALID_ARGUMENT',
      reason: 'INVALID_ARGUMENT',
      violations: [{ field: 'leaves[0]', description: /64 bytes/ }],
    });
    const { stdout, stderr } = await server.kill('SIGTERM');
    expect(stdout).toContain(verified.anchorId);
    for (const bytes of [leaves.subarray(0, 32), leaves.subarray(32), server.seed]) {
      for (const encoding of ['hex', 'base64', 'base64url'] as const)
        expect(stdout + stderr).not.toContain(Buffer.from(bytes).toString(encoding).slice(0, 40));
    }
    expect(stdout + stderr).not.toContain(new URL(database.databaseUrl).password);
  });
});

// Seen red with the comparison of keys in LogKeys.open taken out: the stranger forked the log.
test('a server with another seed refuses the cluster, and the one with its seed goes on', async () => {
  const server = await start();
  const stranger = await start();
  const caller = await CarefulCaller.ofNewCluster(server, server.seed);
  const { verified } = await caller.anchor(server, leavesNamed('ours'));
  const { clusterId } = caller;
  const refused = { code: 'FAILED_PRECONDITION', reason: 'SIGNING_KEY_MISMATCH' };
  await expectRefusal(stranger.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('x') }), refused);
  await expectRefusal(stranger.notary.getCheckpoint({ clusterId }), refused);
  await caller.anchor(server, leavesNamed('ours again'), { known: verified.checkpoint });
  // Its own clusters it serves, beside the others.
  const own = await CarefulCaller.ofNewCluster(stranger, stranger.seed);
  await own.anchor(stranger, leavesNamed('theirs'));
});

// Seen red with health left alone by shutdown().
test('health says SERVING, and NOT_SERVING before the server goes', async () => {
  const server = await start();
  const health = new HealthProbe(server.address);
  const names = ['', 'quartermaster.v1.QuartermasterNotary', 'quartermaster.v1.QuartermasterRegistry'];
  for (const name of names) expect(await health.check(name)).toBe('SERVING');
  const watched = health.watch('');
  expect(await watched.next()).toBe('SERVING');
  const [ended, told] = await Promise.all([server.kill('SIGTERM'), watched.next()]);
  expect(told).toBe('NOT_SERVING');
  expect(ended.code).toBe(0);
  health.close();
});

async function collect(items: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  try {
    for await (const _ of items) count++;
  } catch {
    // However the server ends the stream.
  }
  return count;
}
