import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { listen } from '../gateway/listener.ts';
import { leavesNamed } from '../integration/careful-caller.ts';
import { failure } from '../server/edge.ts';
import { Arena, eventually, firstLeafOf, spooledCalls } from './arena.ts';

// What callers are promised while the notary, or the agent, goes away: with the real programs, killed with SIGKILL.

let arena: Arena;
beforeAll(async () => {
  arena = await Arena.open();
});
afterAll(() => arena.close());

describe('a notary that is away', () => {
  // Red when `#notNow` refuses the callers of what is not in the spool yet.
  test('a caller without a deadline is answered once the notary is back, in its own terms', async () => {
    const caller = await arena.newCluster();
    const { clusterId } = caller;
    const spool = arena.newDirectory();
    const agent = await arena.startAgent({ spool });
    const through = { ...arena.server, notary: agent.notary };
    const first = await caller.anchor(through, leavesNamed('before'), { requestId: randomUUID() });
    await arena.killNotary();

    const packedLeaves = leavesNamed('during', 3);
    const leaves = [0, 1, 2].map((i) => packedLeaves.subarray(i * 32, i * 32 + 32));
    const known = first.verified.checkpoint;
    const answer = agent.notary.createAnchor({
      clusterId,
      leaves,
      etcdRevision: 7n,
      knownCheckpoint: known.checkpoint,
    });
    await eventually(() => spooledCalls(spool).length === 1);
    await arena.startNotary();

    const response = await answer;
    expect(response.leafIndices).toEqual([0, 1, 2]);
    expect(response.replayed).toBe(false);
    const [, { requestId } = { requestId: '' }] = await arena.anchored(clusterId);
    caller.verifyAnchor(response, packedLeaves, { known, etcdRevision: 7n, requestId });
    await eventually(() => spooledCalls(spool).length === 0);
    const told = agent.lines().filter(({ msg }) => msg.startsWith('the notary is'));
    expect(told.map(({ msg }) => msg)).toEqual([
      'the notary is away: calls are kept in the spool',
      'the notary is back',
    ]);
    await agent.kill('SIGTERM');
  });

  // Red when `#begin` takes a new request_id although one is remembered, and when `#anchored` does not remember.
  test('a caller whose deadline is near is told to come again, and its retry finds the same anchor for a day', async () => {
    const { clusterId } = await arena.newCluster();
    const spool = arena.newDirectory();
    let agent = await arena.startAgent({ spool });
    await arena.killNotary();
    const call = { clusterId, packedLeaves: leavesNamed('retried', 2), etcdRevision: 5n };
    const refused = await failure(agent.notary.createAnchor(call, { timeoutMs: 1_500 }));
    expect(refused).toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'SPOOLED' } });
    expect(refused.details?.retryDelayMs).toBeGreaterThan(0);
    expect(refused.message).toMatch(/same cluster_id, etcd_revision, leaves .* finds the same batch/);
    // Again, and again nobody is there.
    expect(await failure(agent.notary.createAnchor(call, { timeoutMs: 1_000 }))).toMatchObject({
      details: { reason: 'SPOOLED' },
    });
    expect(spooledCalls(spool)).toHaveLength(1);

    await agent.kill('SIGKILL');
    await arena.startNotary();
    agent = await arena.startAgent({ spool });
    await eventually(async () => (await arena.anchored(clusterId)).length === 1);
    const [anchor] = await arena.anchored(clusterId);
    await eventually(() => spooledCalls(spool).length === 0);

    expect(await agent.notary.createAnchor(call)).toMatchObject({
      anchorId: anchor!.anchorId,
      replayed: true,
      leafIndices: [],
    });
    await agent.kill('SIGKILL');
    agent = await arena.startAgent({ spool });
    const leaves = [call.packedLeaves.subarray(0, 32), call.packedLeaves.subarray(32)];
    expect(await agent.notary.createAnchor({ clusterId, leaves, etcdRevision: 5n })).toMatchObject({
      anchorId: anchor!.anchorId,
      replayed: true,
      leafIndices: [0, 1],
    });
    // Another revision, or a request_id of its own, is another call.
    const others = [
      await agent.notary.createAnchor({ ...call, etcdRevision: 6n }),
      await agent.notary.createAnchor({ ...call, requestId: randomUUID() }),
    ];
    expect(others.map(({ replayed }) => replayed)).toEqual([false, false]);
    expect(await arena.anchored(clusterId)).toHaveLength(3);
    await agent.kill('SIGTERM');
  });

  // Red when `#giveUp` does not write the call to disk before it says that it is there.
  test('what a notary that says nothing was sent is on disk when its caller is told to come again', async () => {
    const { clusterId } = await arena.newCluster();
    const spool = arena.newDirectory();
    const silent = await listen();
    const agent = await arena.startAgent({ spool, endpoint: `127.0.0.1:${silent.port}` });
    const call = { clusterId, packedLeaves: leavesNamed('silence') };
    const refused = await failure(agent.notary.createAnchor(call, { timeoutMs: 1_000 }));
    await agent.kill('SIGKILL');
    await silent.close();
    expect(refused.details?.reason).toBe('SPOOLED');
    const next = await arena.startAgent({ spool });
    await eventually(() => spooledCalls(spool).length === 0);
    const [anchor] = await arena.anchored(clusterId);
    expect(refused.message).toContain(anchor!.requestId);
    expect(await next.notary.createAnchor(call)).toMatchObject({ anchorId: anchor!.anchorId });
    await next.kill('SIGTERM');
  });

  // Red when the request_id of the caller is not used.
  test('keeps the request_id that a caller gives', async () => {
    const { clusterId } = await arena.newCluster();
    const agent = await arena.startAgent();
    await arena.killNotary();
    const requestId = randomUUID();
    const call = { clusterId, packedLeaves: leavesNamed('given'), requestId };
    const waiting = agent.notary.createAnchor(call);
    await agent.line(({ msg }) => msg === 'the notary is away: calls are kept in the spool');
    await arena.startNotary();
    const { anchorId } = await waiting;
    expect(await arena.anchored(clusterId)).toEqual([expect.objectContaining({ anchorId, requestId })]);
    // The notary knows it too, without the agent.
    expect(await arena.server.notary.createAnchor(call)).toMatchObject({ anchorId, replayed: true });
    await agent.kill('SIGTERM');
  });

  // Red when `restore` is not called.
  test('a caller that goes away does not lose what is in the spool, nor does a SIGKILL of the agent', async () => {
    const { clusterId } = await arena.newCluster();
    const spool = arena.newDirectory();
    const agent = await arena.startAgent({ spool });
    await arena.killNotary();
    const leaving = new AbortController();
    const gone = failure(
      agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('gone') }, { signal: leaving.signal }),
    );
    await eventually(() => spooledCalls(spool).length === 1);
    leaving.abort();
    expect(await gone).toMatchObject({ code: 'CANCELLED' });
    const cutOff = failure(agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('cut off') }));
    await eventually(() => spooledCalls(spool).length === 2);
    await agent.kill('SIGKILL');
    expect(await cutOff).toMatchObject({ code: 'UNAVAILABLE' });

    const next = await arena.startAgent({ spool });
    await arena.startNotary();
    await eventually(() => spooledCalls(spool).length === 0);
    expect((await arena.anchored(clusterId)).map(({ firstLeaf }) => firstLeaf)).toEqual([
      firstLeafOf('gone'),
      firstLeafOf('cut off'),
    ]);
    await next.kill('SIGTERM');
  });

  // Red when `#begin` sends at once although calls wait, and when `startable` ignores what came before.
  test('whatever waits goes before what comes later, in the order that it came', async () => {
    const { clusterId } = await arena.newCluster();
    const spool = arena.newDirectory();
    const agent = await arena.startAgent({ spool });
    await arena.killNotary();
    const names = Array.from({ length: 12 }, (_, i) => `in order ${i}`);
    const waiting = [];
    for (const [i, name] of names.entries()) {
      // The first are big, so that the later ones would overtake them.
      const packedLeaves = leavesNamed(name, i < 3 ? 20_000 : 1);
      waiting.push(agent.notary.createAnchor({ clusterId, packedLeaves }));
      await eventually(() => spooledCalls(spool).length === i + 1);
    }
    await arena.startNotary();
    const late = agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('late') });
    await Promise.all([...waiting, late]);
    expect((await arena.anchored(clusterId)).map(({ firstLeaf }) => firstLeaf)).toEqual(
      [...names, 'late'].map(firstLeafOf),
    );
    await agent.kill('SIGTERM');
  });

  // Red when a second caller gets a job of its own.
  test('callers with the same leaves share one anchor, which one of them made', async () => {
    const { clusterId } = await arena.newCluster();
    const agent = await arena.startAgent();
    await arena.killNotary();
    const packedLeaves = leavesNamed('shared', 2);
    const leaves = [packedLeaves.subarray(0, 32), packedLeaves.subarray(32)];
    const both = [
      agent.notary.createAnchor({ clusterId, packedLeaves }),
      agent.notary.createAnchor({ clusterId, leaves }),
    ];
    await agent.line(({ msg }) => msg === 'the notary is away: calls are kept in the spool');
    await arena.startNotary();
    const answers = await Promise.all(both);
    expect(new Set(answers.map(({ anchorId }) => anchorId)).size).toBe(1);
    expect(answers.map(({ replayed }) => replayed).sort()).toEqual([false, true]);
    expect(answers.map(({ leafIndices }) => leafIndices)).toEqual([[], [0, 1]]);
    expect(await arena.anchored(clusterId)).toHaveLength(1);
    await agent.kill('SIGTERM');
  });
});
