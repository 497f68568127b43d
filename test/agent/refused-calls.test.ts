import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { quartermaster } from '../cli/run-quartermaster.ts';
import { leavesNamed } from '../integration/careful-caller.ts';
import { failure } from '../server/edge.ts';
import { Arena, eventually, spooledCalls } from './arena.ts';

// Calls in the spool that the notary does not take.

let arena: Arena;
beforeAll(async () => {
  arena = await Arena.open();
});
afterAll(() => arena.close());

// Red when `#refused` buries whatever it is.
test('a caller that waits is told what the notary says, and the call is forgotten', async () => {
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool });
  const clusterId = randomUUID();
  const call = { clusterId, packedLeaves: leavesNamed('unknown cluster') };
  const expected = await failure(arena.server.notary.createAnchor(call));
  await arena.killNotary();
  const refused = failure(agent.notary.createAnchor(call));
  await eventually(() => spooledCalls(spool).length === 1);
  await arena.startNotary();
  expect(await refused).toEqual(expected);
  expect(expected).toMatchObject({ code: 'NOT_FOUND', details: { reason: 'CLUSTER_NOT_FOUND' } });
  await eventually(() => spooledCalls(spool).length === 0);
  expect(readdirSync(join(spool, 'dead'))).toEqual([]);
  await agent.kill('SIGTERM');
});

// Red when `#refused` forgets the call although nobody waits for it; when `replay` gives it another request_id.
test('where nobody waits it goes to the dead letters, which are shown, and go again once they are replayed', async () => {
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool });
  const clusterId = randomUUID();
  const requestId = randomUUID();
  const good = await arena.newCluster();
  await arena.killNotary();
  // What presents a checkpoint of no log is refused for that, and its leaves are as good as any.
  const calls = [
    { clusterId, packedLeaves: leavesNamed('dead'), requestId, etcdRevision: 3n },
    { clusterId: good.clusterId, packedLeaves: leavesNamed('good') },
  ];
  for (const call of calls) {
    const refused = await failure(agent.notary.createAnchor(call, { timeoutMs: 1_000 }));
    expect(refused.details?.reason).toBe('SPOOLED');
  }
  await arena.startNotary();
  const line = await agent.line(({ msg }) => msg.includes('it is in the dead letters'));
  expect(line).toMatchObject({ level: 50, clusterId, requestId, refusal: { reason: 'CLUSTER_NOT_FOUND' } });
  await eventually(async () => (await arena.anchored(good.clusterId)).length === 1);

  const list = () => quartermaster(['agent', 'dead-letters', 'list', '--spool', spool, '--json']);
  const listed = await list();
  expect(JSON.parse(listed.out)).toMatchObject({
    request_id: requestId,
    cluster_id: clusterId,
    leaf_count: 1,
    etcd_revision: '3',
    status: 'NOT_FOUND',
    reason: 'CLUSTER_NOT_FOUND',
  });
  const replay = ['agent', 'dead-letters', 'replay', '--spool', spool];
  expect((await quartermaster([...replay])).code).toBe(2);
  expect(await quartermaster([...replay, randomUUID()])).toMatchObject({ code: 1 });
  await arena.server.registry.createCluster({ clusterId, displayName: 'late' });
  expect(await quartermaster([...replay, requestId])).toMatchObject({ code: 0, out: 'one goes again\n' });
  await eventually(async () => (await arena.anchored(clusterId)).length === 1);
  expect((await arena.anchored(clusterId))[0]!.requestId).toBe(requestId);
  await eventually(() => spooledCalls(spool).length === 0);
  expect((await list()).out).toBe('');
  expect(readdirSync(join(spool, 'revived'))).toEqual([]);
  await agent.kill('SIGTERM');
});

// Red when FAILED_PRECONDITION is taken for good.
test('a frozen cluster keeps its calls waiting until it is thawed, and tells who is not in the spool', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool });
  await arena.killNotary();
  const waiting = agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('frozen') });
  await eventually(() => spooledCalls(spool).length === 1);
  // Where the agent does not find it yet.
  await arena.startNotary({ QUARTERMASTER_LISTEN: '127.0.0.1:0' });
  await arena.server.registry.freezeCluster({ clusterId, reason: 'test' });
  await arena.server.kill('SIGTERM');
  await arena.startNotary();
  await agent.line(({ msg }) => msg === 'the notary does not take spooled calls now');
  expect(spooledCalls(spool)).toHaveLength(1);
  await arena.server.registry.thawCluster({ clusterId, reason: 'test' });
  expect((await waiting).leafCount).toBe(1);

  await arena.server.registry.freezeCluster({ clusterId, reason: 'test' });
  await eventually(() => spooledCalls(spool).length === 0);
  const refused = await failure(
    agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('told at once') }),
  );
  expect(refused).toMatchObject({ code: 'FAILED_PRECONDITION', details: { reason: 'CLUSTER_FROZEN' } });
  expect(spooledCalls(spool)).toHaveLength(0);
  await agent.kill('SIGTERM');
});

// Red when `#checkpointRefused` has the same checkpoint sent again.
test('leaves are not lost for a known_checkpoint that the notary refuses after their caller has left', async () => {
  const { clusterId } = await arena.newCluster();
  const spool = arena.newDirectory();
  const agent = await arena.startAgent({ spool });
  await arena.killNotary();
  const call = { clusterId, packedLeaves: leavesNamed('checkpoint'), knownCheckpoint: 'of no log' };
  await failure(agent.notary.createAnchor(call, { timeoutMs: 1_000 }));
  await arena.startNotary();
  await eventually(async () => (await arena.anchored(clusterId)).length === 1);
  await eventually(() => spooledCalls(spool).length === 0);
  await agent.kill('SIGTERM');
});
