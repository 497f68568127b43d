import { describe, expect, test } from '@jest/globals';
import { StorageError } from '../../src/notary/storage.ts';
import { codeOf, until, World } from './world.ts';

const start = async (options: Parameters<World['replica']>[0] = {}) => {
  const world = new World();
  const replica = world.replica(options);
  const cluster = await world.cluster(replica);
  return { world, replica, cluster, clusterId: cluster.clusterId };
};

describe('equal request ids at the same time', () => {
  // Seen red when submit did not merge equal request ids.
  test('make one anchor, and exactly one caller is not told that it was replayed', async () => {
    const { world, replica, clusterId } = await start();
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(3) };
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => world.anchor(replica, clusterId, more)),
    );
    expect(new Set(answers.map(({ anchorId }) => anchorId)).size).toBe(1);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(world.database.entriesOf(clusterId)).toHaveLength(1);
    await world.expectSound();
  });

  test('with other content get REQUEST_ID_REUSED only after the winner has committed', async () => {
    const { world, replica, clusterId } = await start();
    const requestId = crypto.randomUUID();
    const gate = replica.storage.hold('append');
    const winner = world.anchor(replica, clusterId, { requestId });
    await until(() => replica.storage.callsOf('append') === 1);
    let settled = false;
    const loser = codeOf(world.anchor(replica, clusterId, { requestId })).finally(() => {
      settled = true;
    });
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    expect(settled).toBe(false);
    gate.resolve();
    expect((await winner).replayed).toBe(false);
    expect(await loser).toBe('REQUEST_ID_REUSED');
    await world.expectSound();
  });

  test('let another one try where the winner fails', async () => {
    const { world, replica, clusterId } = await start();
    const requestId = crypto.randomUUID();
    const gone = new AbortController();
    const gate = replica.storage.hold('append');
    const first = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 1);
    const more = { requestId, packedLeaves: world.leaves(1) };
    const winner = codeOf(world.anchor(replica, clusterId, { ...more, signal: gone.signal }));
    await new Promise(setImmediate);
    const others = Array.from({ length: 3 }, () => world.anchor(replica, clusterId, more));
    await new Promise(setImmediate);
    gone.abort();
    gate.resolve();
    expect(await winner).toBe('CANCELLED');
    expect((await Promise.all(others)).filter(({ replayed }) => !replayed)).toHaveLength(1);
    await first;
    expect(world.database.entriesOf(clusterId)).toHaveLength(2);
    await world.expectSound();
  });
});

describe('a request id that is anchored already', () => {
  // Seen red when #answerKnown answered nobody.
  test('is answered with the first anchor, by the same replica, by another, and after a restart', async () => {
    const { world, replica, clusterId } = await start();
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(300), etcdRevision: 7n };
    const first = await world.anchor(replica, clusterId, more);
    await world.anchor(replica, clusterId);
    for (const server of [replica, world.replica(), world.replica()]) {
      const again = await world.anchor(server, clusterId, more);
      expect(again).toMatchObject({ anchorId: first.anchorId, logIndex: first.logIndex, replayed: true });
      expect(again.verified.checkpoint.size).toBe(2);
    }
    await world.expectSound();
  });

  test('is answered with the whole proof from the checkpoint that the caller kept', async () => {
    const { world, replica, clusterId } = await start();
    const { checkpoint: kept } = await world.anchor(replica, clusterId);
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(1) };
    await world.anchor(replica, clusterId, more);
    await world.anchor(replica, clusterId);
    const again = await world.anchor(replica, clusterId, { ...more, knownCheckpoint: kept });
    expect(again.consistencyPath.length).toBeGreaterThan(0);
    expect(again.verified.checkpoint.size).toBe(3);
  });

  // Seen red when a replay did not compare the content.
  test('is REQUEST_ID_REUSED with other leaves, another count or another revision', async () => {
    const { world, replica, clusterId } = await start();
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(2), etcdRevision: 5n };
    await world.anchor(replica, clusterId, more);
    const reused = (other: object) => codeOf(world.anchor(replica, clusterId, { ...more, ...other }));
    expect(await reused({ packedLeaves: world.leaves(2) })).toBe('REQUEST_ID_REUSED');
    expect(await reused({ packedLeaves: more.packedLeaves.subarray(0, 32) })).toBe('REQUEST_ID_REUSED');
    expect(await reused({ etcdRevision: 6n })).toBe('REQUEST_ID_REUSED');
    expect(world.database.entriesOf(clusterId)).toHaveLength(1);
  });

  test.each(['frozen', 'recovering', 'sealed'] as const)(
    'is replayed while the cluster is %s',
    async (to) => {
      const { world, replica, clusterId } = await start();
      const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(2) };
      const first = await world.anchor(replica, clusterId, more);
      await replica.storage.changeState({ clusterId, from: ['active'], to, reason: 'a test' });
      for (const server of [replica, world.replica()]) {
        expect(await world.anchor(server, clusterId, more)).toMatchObject({
          anchorId: first.anchorId,
          replayed: true,
        });
        expect(await codeOf(world.anchor(server, clusterId))).toBe(`CLUSTER_${to.toUpperCase()}`);
        // Refused before anything was written, and before the queue: the state is known by now.
        expect(await codeOf(world.anchor(server, clusterId, { requestId: crypto.randomUUID() }))).toBe(
          `CLUSTER_${to.toUpperCase()}`,
        );
      }
      expect(world.database.entriesOf(clusterId)).toHaveLength(1);
      await world.expectSound();
    },
  );

  test('in a group of others is answered from its row while the others are appended', async () => {
    const { world, replica, clusterId } = await start();
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(2) };
    const first = await world.anchor(world.replica(), clusterId, more);
    const [again, ...others] = await Promise.all([
      world.anchor(replica, clusterId, more),
      ...Array.from({ length: 5 }, () => world.anchor(replica, clusterId)),
    ]);
    expect(again).toMatchObject({ anchorId: first.anchorId, replayed: true });
    expect(others.every(({ replayed }) => !replayed)).toBe(true);
    expect(world.database.entriesOf(clusterId)).toHaveLength(6);
    await world.expectSound();
  });

  // Seen red (LOG_CORRUPT for the whole group) when all request ids of a group were looked up in one go or not at all, and
  // (tried and refused for ever) when a request id whose row could not be read was taken for a new one.
  test('in a row that is damaged fails its own caller alone, each time, and is not anchored again', async () => {
    const { world, replica, clusterId } = await start();
    const given = () => ({ requestId: crypto.randomUUID(), packedLeaves: world.leaves(2) });
    const [damaged, sound] = [given(), given()];
    for (const more of [damaged, sound]) await world.anchor(replica, clusterId, more);
    replica.storage.around('findEntriesByRequestId', async (proceed, _clusterId, requestIds) => {
      if (requestIds.includes(damaged.requestId)) throw new StorageError('CORRUPT', 'a stored root is short');
      return proceed();
    });
    for (let round = 1; round <= 2; round++) {
      const failing = codeOf(world.anchor(replica, clusterId, damaged));
      const replaying = world.anchor(replica, clusterId, sound);
      const others = Array.from({ length: 9 }, (_, i) =>
        world.anchor(replica, clusterId, i % 3 === 0 ? {} : given()),
      );
      expect(await failing).toBe('LOG_CORRUPT');
      expect((await replaying).replayed).toBe(true);
      expect((await Promise.all(others)).every(({ replayed }) => !replayed)).toBe(true);
      expect(world.database.entriesOf(clusterId)).toHaveLength(2 + 9 * round);
    }
    await world.expectSound();
  });

  // Seen red (an INTERNAL error, LOG_CORRUPT, REQUEST_ID_REUSED) when whatever a replay stumbled over was what it answered.
  test.each([
    ['gone', 'the same content'],
    ['gone', 'other content'],
    ['taken by another anchor', 'the same content'],
    ['taken by another anchor', 'other content'],
  ])(
    'whose row is taken back before it is durable is UNAVAILABLE once, if the place is %s and the retry brings %s',
    async (place, content) => {
      const { world, replica, clusterId } = await start();
      await world.anchor(replica, clusterId);
      const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(2) };
      const crashing = world.replica({ outcomePatienceMs: 20 });
      crashing.storage.once('append', async (_proceed, group) => {
        world.database.append(group, false);
        return new Promise(() => {});
      });
      expect(await codeOf(world.anchor(crashing, clusterId, more))).toBe('OUTCOME_UNKNOWN');
      replica.storage.once('confirmDurable', async (proceed) => {
        world.database.failOver();
        if (place !== 'gone') await world.anchor(world.replica(), clusterId);
        return proceed();
      });
      const retry = content === 'other content' ? { ...more, packedLeaves: world.leaves(3) } : more;
      expect(await codeOf(world.anchor(replica, clusterId, retry))).toBe('STORAGE_UNAVAILABLE');
      expect((await world.anchor(replica, clusterId, retry)).replayed).toBe(false);
      await world.expectSound();
    },
  );

  test('may be used in another cluster for something else', async () => {
    const { world, replica, clusterId } = await start();
    const { clusterId: other } = await world.cluster(replica);
    const requestId = crypto.randomUUID();
    const one = await world.anchor(replica, clusterId, { requestId });
    const two = await world.anchor(replica, other, { requestId });
    expect([one.replayed, two.replayed]).toEqual([false, false]);
    await world.expectSound();
  });
});
