import { describe, expect, test } from '@jest/globals';
import { StorageError } from '../../src/notary/storage.ts';
import { codeOf, until, World } from './world.ts';

const start = async (anchors = 4) => {
  const world = new World();
  const replica = world.replica();
  const cluster = await world.cluster(replica);
  const { clusterId } = cluster;
  const notes = [await replica.notary.getCheckpoint(clusterId, 0)];
  for (let i = 0; i < anchors; i++) notes.push((await world.anchor(replica, clusterId)).checkpoint);
  const state = () => world.database.log(clusterId).cluster.state;
  const rows = () => world.database.entriesOf(clusterId).length;
  return { world, replica, cluster, clusterId, notes, state, rows };
};

const otherRoot = new Uint8Array(32).fill(0xee);

describe('a known checkpoint that the log contains', () => {
  test.each([0, 1, 2, 3, 4])('of size %i gives a consistency path that verifies', async (size) => {
    const { world, replica, clusterId, notes } = await start();
    const { consistencyPath } = await world.anchor(replica, clusterId, { knownCheckpoint: notes[size]! });
    if (size === 0) expect(consistencyPath).toEqual([]);
    else expect(consistencyPath.length).toBeGreaterThan(0);
    await world.expectSound();
  });

  test('is answered by a process that has just started, and by one that lags behind', async () => {
    const { world, clusterId, replica } = await start(1);
    const lagging = world.replica();
    await world.anchor(lagging, clusterId);
    let newest = '';
    for (let i = 0; i < 300; i++) newest = (await world.anchor(replica, clusterId)).checkpoint;
    for (const server of [lagging, world.replica()]) {
      const { verified } = await world.anchor(server, clusterId, { knownCheckpoint: newest });
      expect(verified.checkpoint.size).toBeGreaterThan(302);
    }
    await world.expectSound();
  });

  test('needs no signature check where it is the newest head, and no second read', async () => {
    const { world, replica, clusterId, notes } = await start();
    const reads = replica.storage.callsOf('readLog');
    await world.anchor(replica, clusterId, { knownCheckpoint: notes[4]! });
    expect(replica.storage.callsOf('readLog')).toBe(reads);
  });
});

describe('a known checkpoint that proves nothing', () => {
  const broken: Record<string, (note: string) => string> = {
    garbage: () => 'not a note',
    'cut short': (note) => note.slice(0, -20),
    'with a forged signature': (note) =>
      note.replace(/\n\n— (\S+) .*\n$/, (_, name) => `\n\n— ${name} ${'A'.repeat(92)}\n`),
    'signed for another size': (note) => note.replace(/\n3\n/, '\n2\n'),
    'signed for a size past the end': (note) => note.replace(/\n3\n/, '\n9\n'),
    'without signatures': (note) => note.slice(0, note.indexOf('\n\n') + 2),
    'of nobody known': (note) => note.replaceAll('notary.example', 'elsewhere.example'),
  };

  // Seen red when the signature was not verified.
  test.each(Object.keys(broken))('%s is INVALID_ARGUMENT: nothing written, state unchanged', async (name) => {
    const { world, replica, clusterId, notes, state, rows } = await start();
    const knownCheckpoint = broken[name]!(notes[3]!);
    expect(knownCheckpoint).not.toBe(notes[3]);
    const call = replica.notary.createAnchor(world.submission(clusterId, { knownCheckpoint }));
    await expect(call).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      violations: [{ field: 'known_checkpoint' }],
    });
    expect([state(), rows()]).toEqual(['active', 4]);
  });

  test('since it is of another cluster is INVALID_ARGUMENT', async () => {
    const { world, replica, clusterId, state, rows } = await start();
    const other = await world.cluster(replica);
    const { checkpoint } = await world.anchor(replica, other.clusterId);
    const call = replica.notary.createAnchor(world.submission(clusterId, { knownCheckpoint: checkpoint }));
    expect(await codeOf(call)).toBe('INVALID_ARGUMENT');
    expect([state(), rows()]).toEqual(['active', 4]);
  });
});

describe('a known checkpoint that the log contradicts', () => {
  // Seen red when checkKnownCheckpoint returned for a size past the end.
  test('by being beyond it: recovering and DATA_LOSS, later calls CLUSTER_RECOVERING', async () => {
    const { world, clusterId, notes, state, rows } = await start();
    world.takeBack(clusterId, 2, true);
    const fresh = world.replica();
    const knownCheckpoint = notes[4]!;
    const submit = (more: object) => codeOf(fresh.notary.createAnchor(world.submission(clusterId, more)));
    expect(await submit({ knownCheckpoint })).toBe('LOG_ROLLED_BACK');
    expect([state(), rows()]).toEqual(['recovering', 2]);
    expect(await submit({})).toBe('CLUSTER_RECOVERING');
    expect(await submit({ knownCheckpoint })).toBe('CLUSTER_RECOVERING');
    expect(await submit({ knownCheckpoint: notes[2] })).toBe('CLUSTER_RECOVERING');
    expect(rows()).toBe(2);
  });

  // Seen red when checkKnownCheckpoint returned for another root.
  test.each([0, 2, 4])('by another root at size %i: sealed and DATA_LOSS', async (size) => {
    const { world, replica, cluster, clusterId, state, rows } = await start();
    const knownCheckpoint = await world.forgeSigned(cluster, size, otherRoot);
    const submit = (more: object) => codeOf(replica.notary.createAnchor(world.submission(clusterId, more)));
    expect(await submit({ knownCheckpoint })).toBe('LOG_FORKED');
    expect([state(), rows()]).toEqual(['sealed', 4]);
    expect(await submit({ knownCheckpoint })).toBe('CLUSTER_SEALED');
    expect(await submit({})).toBe('CLUSTER_SEALED');
  });

  test('by another root while it is recovering seals it', async () => {
    const { world, replica, cluster, clusterId, state } = await start();
    const beyond = await world.forgeSigned(cluster, 9, otherRoot);
    const fork = await world.forgeSigned(cluster, 2, otherRoot);
    const submit = (knownCheckpoint: string) =>
      codeOf(replica.notary.createAnchor(world.submission(clusterId, { knownCheckpoint })));
    expect(await submit(beyond)).toBe('LOG_ROLLED_BACK');
    expect(await submit(fork)).toBe('LOG_FORKED');
    expect(state()).toBe('sealed');
  });

  test('only where the primary, read again, still does: a process that lags is no evidence', async () => {
    const { world, replica, clusterId, notes, state } = await start(1);
    const other = world.replica();
    for (let i = 0; i < 3; i++) notes.push((await world.anchor(other, clusterId)).checkpoint);
    const { verified } = await world.anchor(replica, clusterId, { knownCheckpoint: notes.at(-1)! });
    expect(verified.checkpoint.size).toBe(5);
    expect(state()).toBe('active');
    await world.expectSound();
  });

  // Seen red when evidence that could not be stored was forgotten.
  test('closes this process even while the database cannot be told', async () => {
    const { world, replica, cluster, clusterId, state, rows } = await start();
    const knownCheckpoint = await world.forgeSigned(cluster, 2, otherRoot);
    const back = replica.storage.around('changeState', async () => {
      throw new StorageError('UNAVAILABLE', 'away');
    });
    const submit = (more: object) => codeOf(replica.notary.createAnchor(world.submission(clusterId, more)));
    expect(await submit({ knownCheckpoint })).toBe('LOG_FORKED');
    expect(state()).toBe('active');
    expect(await submit({})).toBe('LOG_FORKED');
    back();
    expect(await submit({})).toBe('LOG_FORKED');
    expect([state(), rows()]).toEqual(['sealed', 4]);
    expect(await submit({})).toBe('CLUSTER_SEALED');
  });
});

describe('thawing', () => {
  const recovering = async () => {
    const story = await start();
    const { world, cluster, replica } = story;
    const beyond = await world.forgeSigned(cluster, 9, otherRoot);
    const call = world.submission(cluster.clusterId, { knownCheckpoint: beyond });
    expect(await codeOf(replica.notary.createAnchor(call))).toBe('LOG_ROLLED_BACK');
    const thaw = (note: string) => replica.registry.thawCluster(cluster.clusterId, 'looked', note);
    return { ...story, beyond, thaw };
  };

  test('a frozen cluster needs no checkpoint, and freezing waits for appends in flight', async () => {
    const { world, replica, clusterId, rows } = await start();
    const gate = Promise.withResolvers<void>();
    replica.storage.once('append', async (proceed) => {
      const outcome = proceed();
      await gate.promise;
      return outcome;
    });
    const appends = replica.storage.callsOf('append');
    const inFlight = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') > appends);
    expect(await replica.registry.freezeCluster(clusterId, 'maintenance')).toMatchObject({ state: 'frozen' });
    const stored = rows();
    gate.resolve();
    await inFlight;
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('CLUSTER_FROZEN');
    expect(await codeOf(world.anchor(world.replica(), clusterId))).toBe('CLUSTER_FROZEN');
    expect(rows()).toBe(stored);
    expect(await replica.registry.freezeCluster(clusterId, 'still')).toMatchObject({ stateReason: 'still' });
    expect(await world.replica().registry.thawCluster(clusterId, 'done', '')).toMatchObject({
      state: 'active',
    });
    await world.anchor(replica, clusterId);
    await world.expectSound();
  });

  test('an active cluster changes nothing', async () => {
    const { replica, clusterId } = await start();
    expect(await replica.registry.thawCluster(clusterId, 'why not', '')).toMatchObject({ stateVersion: 1 });
  });

  test('a recovering cluster with a checkpoint that the log contains lets anchors in again', async () => {
    const { world, clusterId, notes, thaw, replica } = await recovering();
    expect(await thaw(notes[4]!)).toMatchObject({ state: 'active', confirmedSize: 4 });
    await world.anchor(replica, clusterId);
    await world.anchor(world.replica(), clusterId);
    await world.expectSound();
  });

  // Seen red when a thaw from recovering always made a cluster active.
  test('a recovering cluster that was frozen makes it frozen again, for the reason that it was', async () => {
    const { world, cluster, clusterId, replica, notes } = await start();
    const beyond = await world.forgeSigned(cluster, 9, otherRoot);
    const call = world.submission(clusterId, { knownCheckpoint: beyond });
    const thaw = (note: string) => replica.registry.thawCluster(clusterId, 'looked', note);
    await replica.registry.freezeCluster(clusterId, 'a move');
    expect(await codeOf(replica.notary.createAnchor(call))).toBe('LOG_ROLLED_BACK');
    const again = { state: 'frozen', stateReason: 'a move', confirmedSize: 4 };
    expect(await thaw(notes[4]!)).toMatchObject(again);
    for (const server of [replica, world.replica()])
      expect(await codeOf(world.anchor(server, clusterId))).toBe('CLUSTER_FROZEN');
    expect(await thaw('')).toMatchObject({ state: 'active', stateReason: 'looked' });
    await world.anchor(replica, clusterId);
    expect(await codeOf(replica.notary.createAnchor(call))).toBe('LOG_ROLLED_BACK');
    expect(await thaw(notes[4]!)).toMatchObject({ state: 'active' });
    await world.expectSound();
  });

  test('a recovering cluster with nothing, garbage, forged, foreign or unconfirmed checkpoints is refused', async () => {
    const { world, replica, notes, beyond, thaw, state } = await recovering();
    const other = await world.cluster(replica);
    const { checkpoint: foreign } = await world.anchor(replica, other.clusterId);
    expect(await codeOf(thaw(''))).toBe('THAW_REFUSED');
    expect(await codeOf(thaw('garbage'))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(thaw(foreign))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(thaw(notes[3]!.replace('\n3\n', '\n4\n')))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(thaw(beyond))).toBe('THAW_REFUSED');
    expect(state()).toBe('recovering');
  });

  test('is refused where the state changed meanwhile', async () => {
    const { world, replica, clusterId, notes, thaw, state } = await recovering();
    replica.storage.once('confirmDurable', async (proceed) => {
      const isStored = await proceed();
      world.database.changeState({ clusterId, from: ['recovering'], to: 'sealed', reason: 'elsewhere' });
      return isStored;
    });
    expect(await codeOf(thaw(notes[4]!))).toBe('THAW_REFUSED');
    expect(state()).toBe('sealed');
  });

  // Seen red when thawing did not ask what this process had signed.
  test('by the process that signed what is lost seals instead', async () => {
    const { world, replica, clusterId, notes, state } = await start();
    world.takeBack(clusterId, 2, true);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    const thaw = replica.registry.thawCluster(clusterId, 'an old checkpoint', notes[1]!);
    expect(await codeOf(thaw)).toBe('LOG_FORKED');
    expect(state()).toBe('sealed');
    expect(await codeOf(replica.registry.thawCluster(clusterId, 'again', notes[1]!))).toBe('CLUSTER_SEALED');
    expect(await codeOf(replica.registry.freezeCluster(clusterId, 'no'))).toBe('CLUSTER_SEALED');
  });
});
