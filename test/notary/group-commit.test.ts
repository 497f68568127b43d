import { describe, expect, test } from '@jest/globals';
import { codeOf, until, World } from './world.ts';

const start = async (options: Parameters<World['replica']>[0] = {}) => {
  const world = new World();
  const replica = world.replica(options);
  const { clusterId } = await world.cluster(replica);
  return { world, replica, clusterId };
};

describe('anchors that come together', () => {
  test('go into few appends, in the order in which they came, and every answer verifies', async () => {
    const { world, replica, clusterId } = await start();
    const answers = await Promise.all(Array.from({ length: 200 }, () => world.anchor(replica, clusterId)));
    expect(replica.storage.callsOf('append')).toBeLessThan(5);
    expect(answers.map(({ logIndex }) => logIndex)).toEqual(Array.from({ length: 200 }, (_, i) => i));
    expect(new Set(answers.map(({ anchorId }) => anchorId)).size).toBe(200);
    await world.expectSound();
  });

  test('while an append is in flight queue for the next one, which takes them all', async () => {
    const { world, replica, clusterId } = await start();
    const gate = replica.storage.hold('append');
    const first = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 1);
    const others = Array.from({ length: 50 }, () => world.anchor(replica, clusterId));
    await new Promise(setImmediate);
    gate.resolve();
    const answers = await Promise.all([first, ...others]);
    expect(world.heads(clusterId).map(({ size }) => size)).toEqual([0, 1, 51]);
    expect(answers.map(({ logIndex }) => logIndex)).toEqual(Array.from({ length: 51 }, (_, i) => i));
    await world.expectSound();
  });

  test('beyond 1,000 go into a second append', async () => {
    const { world, replica, clusterId } = await start();
    await Promise.all(
      Array.from({ length: 1500 }, () => replica.notary.createAnchor(world.submission(clusterId))),
    );
    const sizes = replica.storage.appends.map(({ entries }) => entries.length);
    expect(Math.max(...sizes)).toBe(1000);
    expect(sizes.reduce((a, b) => a + b)).toBe(1500);
    await world.expectSound();
  });

  test('never make an append of more than 4 MiB of leaves and subtree hashes', async () => {
    const { world, replica, clusterId } = await start();
    await Promise.all(
      Array.from({ length: 40 }, () =>
        world.anchor(replica, clusterId, { packedLeaves: world.leaves(8192) }),
      ),
    );
    const bytes = replica.storage.appends.map(({ batches }) =>
      batches.reduce((sum, { leaves, nodes }) => sum + leaves.length + nodes.length, 0),
    );
    expect(Math.max(...bytes)).toBeLessThanOrEqual(4 * 1024 * 1024);
    expect(Math.max(...bytes)).toBeGreaterThan(3 * 1024 * 1024);
    expect(replica.storage.callsOf('storeBatch')).toBe(0);
    await world.expectSound();
  });
});

describe('leaves above 256 KiB', () => {
  test('are stored first and alone, and hold up nobody', async () => {
    const { world, replica, clusterId } = await start();
    const stored = replica.storage.hold('storeBatch');
    const big = world.anchor(replica, clusterId, { packedLeaves: world.leaves(8193) });
    await until(() => replica.storage.callsOf('storeBatch') === 1);
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(0);
    expect(replica.storage.appends).toHaveLength(1);
    stored.resolve();
    expect((await big).leafCount).toBe(8193);
    expect(replica.storage.appends.at(-1)?.batches).toEqual([]);
    await world.expectSound();
  });

  test('are not stored again for a request id that is anchored already', async () => {
    const { world, replica, clusterId } = await start();
    const more = { packedLeaves: world.leaves(9000), requestId: crypto.randomUUID() };
    const first = await world.anchor(replica, clusterId, more);
    const again = await world.anchor(replica, clusterId, more);
    expect(again).toMatchObject({ anchorId: first.anchorId, replayed: true });
    expect(replica.storage.callsOf('storeBatch')).toBe(1);
  });
});

describe('a caller that is gone', () => {
  test('before its anchor is sequenced gets CANCELLED, and nothing is written', async () => {
    const { world, replica, clusterId } = await start();
    const gate = replica.storage.hold('append');
    const first = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 1);
    const gone = new AbortController();
    const cancelled = codeOf(world.anchor(replica, clusterId, { signal: gone.signal }));
    const staying = world.anchor(replica, clusterId);
    await new Promise(setImmediate);
    gone.abort();
    gate.resolve();
    expect(await cancelled).toBe('CANCELLED');
    await Promise.all([first, staying]);
    expect(world.database.entriesOf(clusterId)).toHaveLength(2);
  });

  test('before it has come writes nothing, big leaves neither', async () => {
    const { world, replica, clusterId } = await start();
    const signal = AbortSignal.abort();
    expect(await codeOf(world.anchor(replica, clusterId, { signal }))).toBe('CANCELLED');
    const packedLeaves = world.leaves(9000);
    expect(await codeOf(world.anchor(replica, clusterId, { signal, packedLeaves }))).toBe('CANCELLED');
    expect(world.database.entriesOf(clusterId)).toEqual([]);
    expect(world.database.log(clusterId).batches.size).toBe(0);
  });

  // Seen red with what storage threw passed on: the caller was told INTERNAL.
  test('while its big leaves wait to be stored gets CANCELLED', async () => {
    const { world, replica, clusterId } = await start();
    const gone = new AbortController();
    replica.storage.once('storeBatch', async (_proceed, _clusterId, _batch, signal) => {
      gone.abort();
      signal.throwIfAborted();
    });
    const big = world.anchor(replica, clusterId, { signal: gone.signal, packedLeaves: world.leaves(9000) });
    expect(await codeOf(big)).toBe('CANCELLED');
    expect(world.database.entriesOf(clusterId)).toEqual([]);
  });

  test('after its anchor was sequenced is answered all the same', async () => {
    const { world, replica, clusterId } = await start();
    const gone = new AbortController();
    replica.storage.once('append', async (proceed) => {
      gone.abort();
      return proceed();
    });
    expect(await world.anchor(replica, clusterId, { signal: gone.signal })).toMatchObject({ logIndex: 0 });
  });
});

describe('a full queue', () => {
  test('refuses with QUEUE_FULL, and takes anchors again afterwards', async () => {
    const { world, replica, clusterId } = await start({ maxQueuedAnchors: 3 });
    const gate = replica.storage.hold('append');
    const first = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 1);
    const queued = Array.from({ length: 3 }, () => world.anchor(replica, clusterId));
    await new Promise(setImmediate);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('QUEUE_FULL');
    gate.resolve();
    await Promise.all([first, ...queued]);
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(4);
    await world.expectSound();
  });
});

describe('an anchor that the database cannot store', () => {
  test('fails alone; those that came with it are anchored', async () => {
    const { world, replica, clusterId } = await start();
    const poison = crypto.randomUUID();
    world.database.refuses = ({ requestId }) => requestId === poison;
    const good = Array.from({ length: 9 }, () => world.anchor(replica, clusterId));
    const bad = codeOf(world.anchor(replica, clusterId, { requestId: poison }));
    expect(await bad).toBe('REJECTED_BY_STORAGE');
    expect((await Promise.all(good)).map(({ logIndex }) => logIndex).sort()).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8,
    ]);
    await world.expectSound();
  });

  test('that comes with a request id which another replica anchored leaves nobody without an answer', async () => {
    const { world, replica, clusterId } = await start();
    const other = world.replica();
    await world.anchor(replica, clusterId);
    const known = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(2) };
    const first = await world.anchor(other, clusterId, known);
    // A lost race, so that the next append is a locked one, which leaves known request ids out.
    await world.anchor(replica, clusterId);
    const poison = crypto.randomUUID();
    world.database.refuses = ({ requestId }) => requestId === poison;
    const [bad, replayed] = await Promise.all([
      codeOf(world.anchor(replica, clusterId, { requestId: poison })),
      world.anchor(replica, clusterId, known),
    ]);
    expect(bad).toBe('REJECTED_BY_STORAGE');
    expect(replayed).toMatchObject({ anchorId: first.anchorId, replayed: true });
    await world.expectSound();
  });
});

describe('time in the log', () => {
  // Seen red when makeAttempt took the clock's time as it was, without the later of the two.
  test('never goes back, even when the clock does', async () => {
    const { world, replica, clusterId } = await start();
    const other = world.replica({ now: () => world.nowMs - 60_000 });
    const first = await world.anchor(replica, clusterId);
    world.nowMs -= 3_600_000;
    const second = await world.anchor(replica, clusterId);
    const third = await world.anchor(other, clusterId);
    world.nowMs += 2 * 3_600_000;
    const fourth = await world.anchor(replica, clusterId);
    expect(second.verified.createdAtMs).toBe(first.verified.createdAtMs);
    expect(third.verified.createdAtMs).toBe(first.verified.createdAtMs);
    expect(fourth.verified.createdAtMs).toBe(world.nowMs);
    await world.expectSound();
  });
});

describe('a notary that drains', () => {
  test('takes no more, answers those it has, and then resolves', async () => {
    const { world, replica, clusterId } = await start();
    const gate = replica.storage.hold('append');
    const inFlight = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 1);
    const queued = world.anchor(replica, clusterId);
    const drained = replica.notary.drain(10_000);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('DRAINING');
    gate.resolve();
    await drained;
    expect(await Promise.all([inFlight, queued])).toMatchObject([{ logIndex: 0 }, { logIndex: 1 }]);
  });

  test('answers calls whose leaves were still being hashed', async () => {
    const { world, replica, clusterId } = await start();
    const hashing = world.anchor(replica, clusterId, { packedLeaves: world.leaves(8000) });
    let answered = false;
    const noted = hashing.then(() => {
      answered = true;
    });
    await replica.notary.drain(10_000);
    await new Promise(setImmediate);
    expect(answered).toBe(true);
    await noted;
  });

  test('tells those who still wait at the end of the time that they must ask elsewhere', async () => {
    const { world, replica, clusterId } = await start();
    await world.anchor(replica, clusterId);
    const gate = replica.storage.hold('append');
    const inFlight = codeOf(world.anchor(replica, clusterId));
    await until(() => replica.storage.callsOf('append') === 2);
    const queued = codeOf(world.anchor(replica, clusterId));
    await replica.notary.drain(20);
    expect(await inFlight).toBe('OUTCOME_UNKNOWN');
    expect(await queued).toBe('DRAINING');
    gate.resolve();
  });

  test('does not wait longer than it was told for a database that does not answer', async () => {
    const { world, replica, clusterId } = await start();
    const gate = replica.storage.hold('readLog');
    const opening = codeOf(world.anchor(replica, clusterId));
    await new Promise(setImmediate);
    await replica.notary.drain(20);
    gate.resolve();
    expect(await opening).toBe('DRAINING');
  });
});
