import { describe, expect, test } from '@jest/globals';
import { type AppendGroup, type AppendOutcome, StorageError } from '../../src/notary/storage.ts';
import { codeOf, type Replica, until, World } from './world.ts';

const LOST: AppendOutcome = { kind: 'unknown', cause: new Error('connection lost') };
const AWAY: AppendOutcome = { kind: 'unavailable', cause: new Error('no connection') };

const start = async (options: Parameters<World['replica']>[0] = {}) => {
  const world = new World();
  const replica = world.replica({ outcomePatienceMs: 5000, ...options });
  const { clusterId } = await world.cluster(replica);
  await world.anchor(replica, clusterId);
  return { world, replica, clusterId };
};

/** The answer to the next append is lost after it was applied. */
function loseAnswer({ storage }: Replica): void {
  storage.once('append', async (proceed) => {
    await proceed();
    return LOST;
  });
}

/** The next append never reaches the database, and the caller cannot know. */
function loseRequest({ storage }: Replica): void {
  storage.once('append', async () => LOST);
}

/** The next append is committed and seen, but not durable, and its answer is lost. */
function seeOnly(world: World, { storage }: Replica): void {
  storage.once('append', async (_proceed, group) => {
    world.database.append(group, false);
    return LOST;
  });
}

const bytesOf = ({ newHead, entries }: AppendGroup) =>
  [newHead.root, newHead.mac, ...entries.map(({ record }) => record)].map((bytes) =>
    Buffer.from(bytes).toString('hex'),
  );

describe('an append whose answer is lost', () => {
  // Seen red when an unknown outcome was taken for a failure: the retry made a second anchor.
  test('but which was applied is answered once, as appended', async () => {
    const { world, replica, clusterId } = await start();
    loseAnswer(replica);
    const answers = await Promise.all(Array.from({ length: 5 }, () => world.anchor(replica, clusterId)));
    expect(answers.every(({ replayed }) => !replayed)).toBe(true);
    expect(world.database.entriesOf(clusterId)).toHaveLength(6);
    await world.expectSound();
  });

  // Seen red when an unknown outcome was taken for success: the answer was signed without a row.
  test('and which was not applied is sent again, byte for byte, until it is', async () => {
    const { world, replica, clusterId } = await start();
    loseRequest(replica);
    world.nowMs += 5;
    const answering = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 2);
    world.nowMs += 60_000;
    const answer = await answering;
    const [, sent, resent] = replica.storage.appends;
    expect(bytesOf(resent!)).toEqual(bytesOf(sent!));
    expect(answer.logIndex).toBe(1);
    expect(world.database.entriesOf(clusterId)).toHaveLength(2);
    await world.expectSound();
  });

  test('twice over is resolved all the same', async () => {
    const { world, replica, clusterId } = await start();
    loseRequest(replica);
    const answering = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 2);
    loseAnswer(replica);
    expect((await answering).logIndex).toBe(1);
    expect(world.database.entriesOf(clusterId)).toHaveLength(2);
    await world.expectSound();
  });

  // Seen red when whatever row was found at its place was taken for ours.
  test('is made anew where another replica has taken its place', async () => {
    const { world, replica, clusterId } = await start();
    const other = world.replica();
    replica.storage.once('append', async () => {
      await world.anchor(other, clusterId);
      return LOST;
    });
    const answer = await world.anchor(replica, clusterId);
    expect(answer.logIndex).toBe(2);
    expect(world.database.entriesOf(clusterId)).toHaveLength(3);
    await world.expectSound();
  });

  // Seen red when the state was not looked at: sent again for ever.
  test('did not happen where the cluster is frozen and its place is empty', async () => {
    const { world, replica, clusterId } = await start();
    replica.storage.once('append', async () => {
      await replica.registry.freezeCluster(clusterId, 'maintenance');
      return LOST;
    });
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('CLUSTER_FROZEN');
    expect(world.database.entriesOf(clusterId)).toHaveLength(1);
    await replica.registry.thawCluster(clusterId, 'done', '');
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(1);
    await world.expectSound();
  });

  test('happened where the cluster was frozen after it', async () => {
    const { world, replica, clusterId } = await start();
    replica.storage.once('append', async (proceed) => {
      await proceed();
      await replica.registry.freezeCluster(clusterId, 'maintenance');
      return LOST;
    });
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(1);
    await world.expectSound();
  });

  test('of a request id that was anchored earlier is answered from its row', async () => {
    const { world, replica, clusterId } = await start();
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(2) };
    const first = await world.anchor(replica, clusterId, more);
    // A new process: the gateway retries after an outage, and the first answer of the new connection is lost.
    const restarted = world.replica({ outcomePatienceMs: 5000 });
    loseRequest(restarted);
    expect(await world.anchor(restarted, clusterId, more)).toMatchObject({
      anchorId: first.anchorId,
      replayed: true,
    });
    await world.expectSound();
  });

  test('and whose bytes the database cannot store fails alone', async () => {
    const { world, replica, clusterId } = await start();
    const poison = crypto.randomUUID();
    world.database.refuses = ({ requestId }) => requestId === poison;
    loseRequest(replica);
    const [bad, good] = await Promise.all([
      codeOf(world.anchor(replica, clusterId, { requestId: poison })),
      world.anchor(replica, clusterId),
    ]);
    expect(bad).toBe('REJECTED_BY_STORAGE');
    expect(good.logIndex).toBe(1);
    await world.expectSound();
  });

  test('with a failover that lost acknowledged anchors is found out, and nothing is written', async () => {
    const { world, replica, clusterId } = await start();
    await world.anchor(replica, clusterId);
    replica.storage.once('append', async () => {
      world.takeBack(clusterId, 1, true);
      return LOST;
    });
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    expect(world.database.log(clusterId).cluster.state).toBe('recovering');
    expect(world.database.entriesOf(clusterId)).toHaveLength(1);
    expect(world.offences).toEqual([]);
  });

  test('on a log whose newest heads were deleted is found out', async () => {
    const { world, replica, clusterId } = await start();
    await world.anchor(replica, clusterId);
    world.takeBack(clusterId, 1, false);
    const restarted = world.replica({ outcomePatienceMs: 5000 });
    loseRequest(restarted);
    expect(await codeOf(world.anchor(restarted, clusterId))).toBe('LOG_ROLLED_BACK');
    expect(world.database.log(clusterId).cluster.state).toBe('recovering');
  });
});

describe('an append that is ours but only seen', () => {
  // Seen red when #resolved took the row at its place for success without confirmDurable.
  test('is answered only after a later commit was acknowledged', async () => {
    const { world, replica, clusterId } = await start();
    seeOnly(world, replica);
    const gate = Promise.withResolvers<void>();
    replica.storage.around('confirmDurable', async (proceed) => {
      await gate.promise;
      return proceed();
    });
    let answered = false;
    const answering = world.anchor(replica, clusterId).finally(() => {
      answered = true;
    });
    await until(() => replica.storage.callsOf('confirmDurable') > 0);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    expect(answered).toBe(false);
    gate.resolve();
    expect((await answering).logIndex).toBe(1);
    await world.expectSound();
  });

  test('and vanishes in a failover is sent again, and makes one anchor', async () => {
    const { world, replica, clusterId } = await start();
    seeOnly(world, replica);
    replica.storage.once('confirmDurable', async () => {
      world.database.failOver();
      throw new StorageError('UNAVAILABLE', 'failing over');
    });
    const answer = await world.anchor(replica, clusterId);
    expect(answer.logIndex).toBe(1);
    expect(world.database.entriesOf(clusterId)).toHaveLength(2);
    expect(world.database.log(clusterId).cluster.state).toBe('active');
    await world.expectSound();
  });
});

describe('a database that is away', () => {
  test('for long: callers get OUTCOME_UNKNOWN, later ones STORAGE_UNAVAILABLE at once, and service resumes', async () => {
    const { world, replica, clusterId } = await start({ outcomePatienceMs: 30 });
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(1) };
    const back = replica.storage.around('append', async () => AWAY);
    loseRequest(replica);
    const first = codeOf(world.anchor(replica, clusterId, more));
    await until(() => replica.storage.callsOf('append') === 2);
    const queued = codeOf(world.anchor(replica, clusterId));
    expect(await first).toBe('OUTCOME_UNKNOWN');
    expect(await queued).toBe('STORAGE_UNAVAILABLE');
    const before = performance.now();
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('STORAGE_UNAVAILABLE');
    expect(performance.now() - before).toBeLessThan(20);
    back();
    await until(() => world.database.entriesOf(clusterId).length === 2);
    await until(() => replica.storage.callsOf('append') > 2);
    await new Promise((resolve) => setImmediate(resolve));
    const again = await world.anchor(replica, clusterId, more);
    expect(again).toMatchObject({ logIndex: 1, replayed: true });
    expect(world.database.entriesOf(clusterId)).toHaveLength(2);
    await world.expectSound();
  });

  // Seen red when patience began only once an append had come back as unknown.
  test('without a word: callers are not held longer than one whose answer was lost', async () => {
    const { world, replica, clusterId } = await start({ outcomePatienceMs: 30 });
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(1) };
    const silence = replica.storage.hold('append');
    const first = codeOf(world.anchor(replica, clusterId, more));
    await until(() => replica.storage.callsOf('append') === 2);
    const queued = codeOf(world.anchor(replica, clusterId));
    expect(await first).toBe('OUTCOME_UNKNOWN');
    expect(await queued).toBe('STORAGE_UNAVAILABLE');
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('STORAGE_UNAVAILABLE');
    silence.resolve();
    await until(() => world.database.entriesOf(clusterId).length === 2);
    await new Promise((resolve) => setImmediate(resolve));
    expect(await world.anchor(replica, clusterId, more)).toMatchObject({ logIndex: 1, replayed: true });
    expect(world.database.entriesOf(clusterId)).toHaveLength(2);
    await world.expectSound();
  });

  // Seen red when patience ended with the append, and a confirmation that hung held the caller.
  test('without a word to a confirmation: the caller is not held either', async () => {
    const { world, replica, clusterId } = await start({ outcomePatienceMs: 30 });
    seeOnly(world, replica);
    const silence = replica.storage.hold('confirmDurable');
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('OUTCOME_UNKNOWN');
    silence.resolve();
    await until(() => replica.storage.callsOf('confirmDurable') > 0);
  });

  test('before anything was sent gives STORAGE_UNAVAILABLE, and the same request id succeeds once it is back', async () => {
    const { world, replica, clusterId } = await start();
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(1) };
    const back = replica.storage.around('append', async () => AWAY);
    expect(await codeOf(world.anchor(replica, clusterId, more))).toBe('STORAGE_UNAVAILABLE');
    back();
    expect(await world.anchor(replica, clusterId, more)).toMatchObject({ logIndex: 1, replayed: false });
    await world.expectSound();
  });

  test('while it is asked what became of an append keeps the caller waiting, not guessing', async () => {
    const { world, replica, clusterId } = await start();
    loseAnswer(replica);
    let refusals = 3;
    replica.storage.around('readLog', async (proceed) => {
      if (refusals-- > 0) throw new StorageError('UNAVAILABLE', 'not yet');
      return proceed();
    });
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(1);
    expect(refusals).toBeLessThan(0);
    await world.expectSound();
  });
});
