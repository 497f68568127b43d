import { describe, expect, test } from '@jest/globals';
import { StorageError } from '../../src/notary/storage.ts';
import { parseRecord } from '../../src/record/index.ts';
import { codeOf, World } from './world.ts';

const start = async () => {
  const world = new World();
  const replica = world.replica();
  const old = await world.cluster(replica);
  const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(3) };
  const first = await world.anchor(replica, old.clusterId, more);
  await world.anchor(replica, old.clusterId);
  const seal = (clusterId = old.clusterId) =>
    replica.storage.changeState({ clusterId, from: ['active'], to: 'sealed', reason: 'a fork was shown' });
  return { world, replica, old, more, first, seal };
};

describe('a sealed cluster', () => {
  test('is succeeded by a cluster whose first entry says where it comes from', async () => {
    const { world, replica, old, seal } = await start();
    await seal();
    const successor = await world.cluster(replica, { predecessorId: old.clusterId });
    const [entry] = world.database.entriesOf(successor.clusterId);
    expect(parseRecord(entry!.record)).toMatchObject({
      kind: 'succession',
      predecessorId: old.clusterId,
      predecessorOrigin: old.origin,
      predecessorSize: 2,
      predecessorRoot: world.database.newestHead(old.clusterId).root,
      reason: 'a fork was shown',
    });
    expect(await replica.registry.getCluster(old.clusterId)).toMatchObject({
      successorId: successor.clusterId,
    });
    expect(await world.anchor(replica, successor.clusterId)).toMatchObject({ logIndex: 1 });
    await world.expectSound();
  });

  // The way out where nobody signed what is lost, or nobody can tell any more: there is nothing to thaw it with.
  test('is what a recovering one becomes when it is succeeded, also on a server that remembers the loss', async () => {
    const { world, replica, old } = await start();
    for (const server of [world.replica(), replica]) {
      const { clusterId } = await world.cluster(replica);
      await world.anchor(replica, clusterId);
      await world.anchor(replica, clusterId);
      world.takeBack(clusterId, 1, true);
      const change = { clusterId, from: ['active'], to: 'recovering', reason: 'another timeline' } as const;
      await replica.storage.changeState(change);
      const successor = await world.cluster(server, { predecessorId: clusterId });
      expect(await replica.registry.getCluster(clusterId)).toMatchObject({
        state: 'sealed',
        stateReason: 'given up for a successor; another timeline',
        successorId: successor.clusterId,
      });
      const [entry] = world.database.entriesOf(successor.clusterId);
      expect(parseRecord(entry!.record)).toMatchObject({ kind: 'succession', predecessorSize: 1 });
      expect(await world.anchor(server, successor.clusterId)).toMatchObject({ logIndex: 1 });
    }
    expect(await replica.registry.getCluster(old.clusterId)).toMatchObject({ state: 'active' });
  });

  test('gets one successor, and only when it is sealed and known', async () => {
    const { world, replica, old, seal } = await start();
    const predecessorId = old.clusterId;
    expect(await codeOf(world.cluster(replica, { predecessorId }))).toBe('PREDECESSOR_REFUSED');
    await seal();
    await world.cluster(replica, { predecessorId });
    expect(await codeOf(world.cluster(replica, { predecessorId }))).toBe('PREDECESSOR_REFUSED');
    const unknown = crypto.randomUUID();
    expect(await codeOf(world.cluster(replica, { predecessorId: unknown }))).toBe('CLUSTER_NOT_FOUND');
    expect(world.database.logs.size).toBe(2);
  });

  test('passes the calls that name it on to its successor, whose record tells', async () => {
    const { world, replica, old, seal } = await start();
    await seal();
    const successor = await world.cluster(replica, { predecessorId: old.clusterId });
    for (const server of [replica, world.replica()]) {
      const submission = world.submission(old.clusterId, { requestId: crypto.randomUUID() });
      const answer = await server.notary.createAnchor(submission);
      expect(world.verify(answer, submission, successor.clusterId).clusterId).toBe(successor.clusterId);
    }
    await world.expectSound();
  });

  test('passes them on over several successions', async () => {
    const { world, replica, old, seal } = await start();
    let last = old;
    for (let i = 0; i < 3; i++) {
      await seal(last.clusterId);
      last = await world.cluster(replica, { predecessorId: last.clusterId });
    }
    const submission = world.submission(old.clusterId);
    const answer = await world.replica().notary.createAnchor(submission);
    expect(world.verify(answer, submission, last.clusterId).clusterId).toBe(last.clusterId);
  });

  test('still answers the request ids that it holds, for those who name it', async () => {
    const { world, replica, old, more, first, seal } = await start();
    await seal();
    await world.cluster(replica, { predecessorId: old.clusterId });
    for (const server of [replica, world.replica()]) {
      const again = await world.anchor(server, old.clusterId, more);
      expect(again).toMatchObject({ anchorId: first.anchorId, replayed: true });
      const other = { ...more, packedLeaves: world.leaves(3) };
      expect(await codeOf(world.anchor(server, old.clusterId, other))).toBe('REQUEST_ID_REUSED');
    }
  });

  test('has its own checkpoints accepted by its successor, without a consistency path', async () => {
    const { world, replica, old, first, seal } = await start();
    await seal();
    const successor = await world.cluster(replica, { predecessorId: old.clusterId });
    for (const clusterId of [old.clusterId, successor.clusterId]) {
      const submission = world.submission(clusterId, { knownCheckpoint: first.checkpoint });
      const answer = await replica.notary.createAnchor(submission);
      expect(answer.consistencyPath).toEqual([]);
      world.verify(answer, submission, successor.clusterId);
    }
    const submission = world.submission(old.clusterId);
    const { checkpoint } = await replica.notary.createAnchor(submission);
    const next = world.submission(old.clusterId, { knownCheckpoint: checkpoint });
    world.verify(await replica.notary.createAnchor(next), next, successor.clusterId);
  });

  test('does not hold up a gateway that keeps the very checkpoint which sealed it', async () => {
    const { world, replica, old } = await start();
    const evidence = await world.forgeSigned(old, 1, new Uint8Array(32).fill(3));
    const submit = () => {
      const submission = world.submission(old.clusterId, { knownCheckpoint: evidence });
      return replica.notary.createAnchor(submission).then((answer) => ({ answer, submission }));
    };
    expect(await codeOf(submit())).toBe('LOG_FORKED');
    expect(await codeOf(submit())).toBe('CLUSTER_SEALED');
    const successor = await world.cluster(replica, { predecessorId: old.clusterId });
    const { answer, submission } = await submit();
    expect(world.verify(answer, submission, successor.clusterId).clusterId).toBe(successor.clusterId);
  });
});

describe('creating a cluster', () => {
  test('with a request id twice gives the first one, also for a successor', async () => {
    const { world, replica, old, seal } = await start();
    const plain = { requestId: crypto.randomUUID(), displayName: 'once' };
    const one = await world.cluster(replica, plain);
    expect(await world.cluster(world.replica(), plain)).toEqual(one);
    await seal();
    const next = { requestId: crypto.randomUUID(), predecessorId: old.clusterId };
    const two = await world.cluster(replica, next);
    expect(await world.cluster(replica, next)).toEqual(two);
    expect(world.database.logs.size).toBe(3);
    await world.expectSound();
  });

  test('with a request id of another cluster is REQUEST_ID_REUSED', async () => {
    const { world, replica } = await start();
    const requestId = crypto.randomUUID();
    await world.cluster(replica, { requestId, displayName: 'one' });
    const reused = (other: object) => codeOf(world.cluster(replica, { requestId, ...other }));
    expect(await reused({ displayName: 'two' })).toBe('REQUEST_ID_REUSED');
    expect(await reused({ displayName: 'one', clusterId: crypto.randomUUID() })).toBe('REQUEST_ID_REUSED');
  });

  // Seen red when the predecessor was sealed before the successor was created: for ever, for nothing.
  test('that is refused leaves a recovering predecessor as it was', async () => {
    const { world, replica } = await start();
    const doubted = await world.cluster(replica);
    await world.anchor(replica, doubted.clusterId);
    const { storage } = replica;
    const change = {
      clusterId: doubted.clusterId,
      from: ['active'],
      to: 'recovering',
      reason: 'a doubt',
    } as const;
    await storage.changeState(change);
    const taken = await world.cluster(replica);
    const succeed = (more: object = {}) =>
      codeOf(world.cluster(replica, { predecessorId: doubted.clusterId, ...more }));
    expect(await succeed({ clusterId: taken.clusterId })).toBe('CLUSTER_EXISTS');
    storage.once('createCluster', async () => {
      throw new StorageError('UNAVAILABLE', 'away');
    });
    expect(await succeed()).toBe('STORAGE_UNAVAILABLE');
    // Thawed by another replica in between.
    storage.once('createCluster', async (proceed) => {
      await storage.changeState({ ...change, from: ['recovering'], to: 'active', reason: 'thawed' });
      return proceed();
    });
    expect(await succeed()).toBe('PREDECESSOR_REFUSED');
    expect(await replica.registry.getCluster(doubted.clusterId)).toMatchObject({ state: 'active' });
    await replica.notary.getCheckpoint(doubted.clusterId, 0);
    expect((await world.anchor(replica, doubted.clusterId)).logIndex).toBe(1);
  });

  test('with an id that is taken is CLUSTER_EXISTS', async () => {
    const { world, replica, old } = await start();
    expect(await codeOf(world.cluster(replica, { clusterId: old.clusterId }))).toBe('CLUSTER_EXISTS');
  });

  test('gives a log that can be described, listed and checked at size 0', async () => {
    const { world, replica, old } = await start();
    const fresh = await world.cluster(replica);
    const log = await replica.notary.getLog(fresh.clusterId);
    expect(log).toMatchObject({ origin: fresh.origin, keys: [{ firstSize: 0, lastSize: undefined }] });
    expect(world.checkpoint(await replica.notary.getCheckpoint(fresh.clusterId, 0)).size).toBe(0);
    const ids = [old.clusterId, fresh.clusterId].sort();
    expect((await replica.registry.listClusters(undefined, 10)).map((c) => c.clusterId)).toEqual(ids);
    expect((await replica.registry.listClusters(ids[0], 10)).map((c) => c.clusterId)).toEqual([ids[1]]);
    const unknown = crypto.randomUUID();
    expect(await codeOf(replica.registry.getCluster(unknown))).toBe('CLUSTER_NOT_FOUND');
    expect(await codeOf(replica.registry.freezeCluster(unknown, ''))).toBe('CLUSTER_NOT_FOUND');
    expect(await codeOf(replica.registry.thawCluster(unknown, '', ''))).toBe('CLUSTER_NOT_FOUND');
    expect(await codeOf(world.anchor(replica, unknown))).toBe('CLUSTER_NOT_FOUND');
  });
});
