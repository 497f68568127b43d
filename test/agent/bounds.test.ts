import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { statusDetails } from '../../src/rpc/status-details.ts';
import { leavesNamed } from '../integration/careful-caller.ts';
import { OldGateway } from '../integration/old-gateway.ts';
import { failure } from '../server/edge.ts';
import { healthClient } from '../server/health-client.ts';
import { Arena, eventually, firstLeafOf, spooledCalls } from './arena.ts';

// What the agent takes, and what it says when it takes no more.

let arena: Arena;
beforeAll(async () => {
  arena = await Arena.open();
});
afterAll(() => arena.close());

// Red when `put` does not count; when `canTakeCalls` is always true.
test('a full spool refuses with RetryInfo and says so to health checks, until there is room again', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool, environment: { QUARTERMASTER_SPOOL_MAX_BYTES: '64KiB' } });
  const health = healthClient(agent.address);
  expect(await health.check('quartermaster.v1.QuartermasterNotary')).toBe('SERVING');
  await arena.killNotary();
  // 1,500 leaves and what belongs to them: 48 KiB of 64; each small call takes 4.
  const waiting = agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('big', 1_500) });
  await eventually(() => spooledCalls(spool).length === 1);
  const refused = await failure(
    agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('too big', 1_500) }),
  );
  expect(refused).toMatchObject({ code: 'RESOURCE_EXHAUSTED', details: { reason: 'SPOOL_FULL' } });
  expect(refused.details?.retryDelayMs).toBeGreaterThan(0);
  const small = ['a', 'b', 'c', 'd'].map((name) =>
    agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed(name) }),
  );
  await eventually(() => spooledCalls(spool).length === 5);
  await eventually(async () => (await health.check('')) === 'NOT_SERVING');
  await arena.startNotary();
  await Promise.all([waiting, ...small]);
  await eventually(async () => (await health.check('')) === 'SERVING');
  expect(await arena.anchored(clusterId)).toHaveLength(5);
  health.close();
  await agent.kill('SIGTERM');
});

// Red when `#notKept` refuses at once: the agent would never find out that the notary is back.
test('a spool that nothing fits into still passes calls through once the notary is back', async () => {
  const { clusterId } = await arena.newCluster();
  const agent = await arena.startAgent({ environment: { QUARTERMASTER_SPOOL_MAX_BYTES: '64KiB' } });
  const call = { clusterId, packedLeaves: leavesNamed('huge', 10_000) };
  await arena.killNotary();
  for (let i = 0; i < 2; i++) {
    expect((await failure(agent.notary.createAnchor(call))).details?.reason).toBe('SPOOL_FULL');
  }
  await arena.startNotary();
  expect((await agent.notary.createAnchor(call)).leafCount).toBe(10_000);
  await agent.kill('SIGTERM');
});

// Red when `calls` is not counted down.
test('calls that wait are bounded, and each that ends makes room', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool, environment: { QUARTERMASTER_MAX_CALLS: '2' } });
  await arena.killNotary();
  const leaving = new AbortController();
  const call = (name: string, signal?: AbortSignal) =>
    agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed(name) }, { signal });
  const gone = failure(call('one', leaving.signal));
  const waiting = call('two');
  await eventually(() => spooledCalls(spool).length === 2);
  expect(await failure(call('three'))).toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
    details: { reason: 'TOO_MANY_CALLS' },
  });
  leaving.abort();
  await gone;
  const third = (async () => {
    for (;;) {
      const outcome = await call('three').catch((error: unknown) => error as ServiceError);
      if (!(outcome instanceof Error)) return outcome;
      expect(statusDetails(outcome)?.reason).toBe('TOO_MANY_CALLS');
    }
  })();
  await eventually(() => spooledCalls(spool).length === 3);
  await arena.startNotary();
  await Promise.all([waiting, third]);
  expect((await arena.anchored(clusterId)).map(({ firstLeaf }) => firstLeaf)).toEqual(
    ['one', 'two', 'three'].map(firstLeafOf),
  );
  await agent.kill('SIGTERM');
});

// Red when `release` is not called once a call is on disk: it is refused for want of memory.
test('what is on disk is not in memory: backlogs wait that are together larger than the memory budget', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({
    spool,
    environment: { QUARTERMASTER_MEMORY_BUDGET: '6MiB', QUARTERMASTER_MAX_MESSAGE_BYTES: '4MiB' },
  });
  await arena.killNotary();
  const gateways = Array.from({ length: 8 }, () => new OldGateway(agent.address));
  const answers = [];
  for (const [i, gateway] of gateways.entries()) {
    // 100,000 leaves, which take 3.3 MiB.
    const packed = Buffer.alloc(100_000 * 32, i + 1);
    const leaves = Array.from({ length: 100_000 }, (_, at) => packed.subarray(at * 32, at * 32 + 32));
    answers.push(gateway.anchor(clusterId, leaves, 0n));
    await eventually(() => spooledCalls(spool).length === i + 1);
  }
  await arena.startNotary();
  const anchored = await Promise.all(answers);
  expect(new Set(anchored.map(({ anchorId }) => anchorId)).size).toBe(8);
  for (const gateway of gateways) gateway.close();
  await agent.kill('SIGTERM');
});

// Red when `read` does not check what it reads.
test('a file of the spool that was damaged is put aside and told of, and the others go on', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool });
  await arena.killNotary();
  for (const name of ['first', 'second', 'third']) {
    await failure(
      agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed(name) }, { timeoutMs: 900 }),
    );
  }
  await agent.kill('SIGKILL');
  const files = spooledCalls(spool).sort();
  const damage = (file: string, at: (length: number) => number) => {
    const path = join(spool, 'calls', file);
    const bytes = readFileSync(path);
    const place = at(bytes.length);
    bytes[place] = bytes[place]! ^ 1;
    writeFileSync(path, bytes);
  };
  damage(files[0]!, () => 30);
  damage(files[1]!, (length) => length - 1);
  const next = await arena.startAgent({ spool });
  await arena.startNotary();
  await eventually(async () => (await arena.anchored(clusterId)).length === 1);
  expect((await arena.anchored(clusterId))[0]!.firstLeaf).toBe(firstLeafOf('third'));
  expect(readdirSync(join(spool, 'damaged'))).toHaveLength(2);
  const told = next.lines().filter(({ msg }) => msg === 'a call in the spool is damaged and was put aside');
  expect(told).toHaveLength(2);
  await next.kill('SIGTERM');
});
