import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { quartermaster } from '../cli/run-quartermaster.ts';
import { leavesNamed } from '../integration/careful-caller.ts';
import { OldGateway } from '../integration/old-gateway.ts';
import { failure } from '../server/edge.ts';
import { healthClient } from '../server/health-client.ts';
import { Arena, eventually, firstLeafOf, spooledCalls } from './arena.ts';

// How the agent starts, where it listens, and how it ends.

let arena: Arena;
beforeAll(async () => {
  arena = await Arena.open();
});
afterAll(() => arena.close());

// Red when a stale socket is left where it is.
test('listens on a unix socket, also on one that a killed agent left behind, and on none that is in use', async () => {
  const { clusterId } = await arena.newCluster();
  const listen = `unix:${join(arena.newDirectory(), 'agent.sock')}`;
  const first = await arena.startAgent({ listen });
  expect(
    (await first.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('socket') })).leafCount,
  ).toBe(1);
  await expect(arena.startAgent({ listen })).rejects.toThrow(/ended with 1: .*cannot listen on/s);
  await first.kill('SIGKILL');
  expect(existsSync(listen.slice(5))).toBe(true);
  const next = await arena.startAgent({ listen });
  expect((await next.notary.getLog({ clusterId })).clusterId).toBe(clusterId);
  await next.kill('SIGTERM');
  expect(existsSync(listen.slice(5))).toBe(false);
});

// Red when the address is not judged.
test('refuses addresses that others can reach, unless it is told otherwise, and reports every mistake at once', async () => {
  const refused = await quartermaster([
    'agent',
    '--listen',
    '0.0.0.0:0',
    '--key',
    'none',
    '--max-calls',
    '0',
  ]);
  expect(refused.code).toBe(2);
  expect(refused.err).toMatch(/can be reached from other machines.*asks nobody who they are/s);
  expect(refused.err).toMatch(/--key: .*expected verifier keys/);
  expect(refused.err).toMatch(/--max-calls: .*expected an integer/);
  const agent = await arena.startAgent({ listen: '0.0.0.0:0', argv: ['--insecure-listen'] });
  await agent.kill('SIGTERM');
});

test('one agent at a time uses a spool', async () => {
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool });
  await expect(arena.startAgent({ spool })).rejects.toThrow(/the spool .* is in use by process \d+/);
  await agent.kill('SIGTERM');
  await (await arena.startAgent({ spool })).kill('SIGTERM');
});

// Red when `stop` does not tell those who wait.
test('SIGTERM while the notary is away: those who wait are told that theirs is kept, exit code 0', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool });
  await arena.killNotary();
  const waiting = ['one', 'two'].map((name) =>
    failure(agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed(name) })),
  );
  await eventually(() => spooledCalls(spool).length === 2);
  const ended = await agent.kill('SIGTERM');
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect((await Promise.all(waiting)).map(({ details }) => details?.reason)).toEqual(['SPOOLED', 'SPOOLED']);
  await arena.startNotary();
  const next = await arena.startAgent({ spool });
  await eventually(async () => (await arena.anchored(clusterId)).length === 2);
  expect((await arena.anchored(clusterId)).map(({ firstLeaf }) => firstLeaf).sort()).toEqual(
    ['one', 'two'].map(firstLeafOf).sort(),
  );
  await next.kill('SIGTERM');
});

// Red when `stop` gives up calls before their answers came.
test('SIGTERM while the notary is there: calls in flight are answered, then new ones are refused', async () => {
  const { clusterId } = await arena.newCluster();
  const agent = await arena.startAgent();
  const health = healthClient(agent.address);
  const seen: (string | undefined)[] = [];
  const watching = (async () => {
    for await (const status of health.watch('')) seen.push(status);
  })().catch(() => undefined);
  await eventually(() => seen.length === 1);
  const gateways = Array.from({ length: 4 }, () => new OldGateway(agent.address));
  const packed = leavesNamed('last', 50_000);
  const leaves = Array.from({ length: 50_000 }, (_, at) => packed.subarray(at * 32, at * 32 + 32));
  const answers = gateways.map((gateway, i) => gateway.anchor(clusterId, leaves, BigInt(i)));
  await eventually(async () => (await arena.anchored(clusterId)).length > 0);
  const ended = agent.kill('SIGTERM');
  expect((await Promise.all(answers)).map(({ leafCount }) => leafCount)).toEqual(Array(4).fill(50_000));
  expect((await ended).code).toBe(0);
  await watching;
  expect(seen.at(-1)).toBe('NOT_SERVING');
  health.close();
  for (const gateway of gateways) gateway.close();
});

// Red when each try has a request_id of its own.
test('a notary and an agent that are killed under load: with a request_id each call is in exactly one anchor, and none is lost', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  let agent = await arena.startAgent({ spool });
  let isOver = false;
  const sent: string[] = [];
  const callers = Array.from({ length: 8 }, async (_, caller) => {
    for (let i = 0; !isOver; i++) {
      const name = `load ${caller} ${i}`;
      sent.push(name);
      const packedLeaves = leavesNamed(name);
      // Half of the callers name their calls.
      const requestId = caller % 2 === 0 ? randomUUID() : '';
      // As a gateway does: the same leaves again, until somebody has anchored them.
      for (;;) {
        const call = agent.notary.createAnchor({ clusterId, packedLeaves, requestId }, { timeoutMs: 2_000 });
        const isDone = await call.then(
          () => true,
          () => false,
        );
        if (isDone) break;
        // A client that was closed refuses at once: others must have their turn.
        await nextTurn();
      }
    }
  });
  for (let round = 0; round < 3; round++) {
    const before = sent.length;
    await eventually(() => sent.length > before + 30);
    await arena.killNotary();
    await eventually(() => spooledCalls(spool).length > 0);
    if (round === 1) {
      await agent.kill('SIGKILL');
      agent = await arena.startAgent({ spool });
    }
    await arena.startNotary();
  }
  isOver = true;
  await Promise.all(callers);
  await eventually(() => spooledCalls(spool).length === 0);
  const leaves = await firstLeavesOf(clusterId);
  expect(new Set(leaves)).toEqual(new Set(sent.map(firstLeafOf)));
  const named = new Set(sent.filter((name) => Number(name.split(' ')[1]) % 2 === 0).map(firstLeafOf));
  expect(leaves.filter((leaf) => named.has(leaf))).toHaveLength(named.size);
  // A SIGKILL of the agent that comes between an anchor and its answer makes two of a call without one, as without an agent.
  expect(leaves.length - sent.length).toBeLessThanOrEqual(4);
  expect(readdirSync(join(spool, 'dead'))).toEqual([]);
  await agent.kill('SIGTERM');
}, 120_000);

async function firstLeavesOf(clusterId: string): Promise<string[]> {
  const { notary } = arena.server;
  const found: string[] = [];
  let pageToken = '';
  do {
    const page = await notary.listAnchors({ clusterId, pageSize: 1_000, pageToken });
    for (const { anchorId } of page.anchors) {
      const { packedLeaves } = await notary.listLeaves({ anchorId });
      found.push(Buffer.from(packedLeaves).toString('hex'));
    }
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return found;
}
