import { describe, expect, test } from '@jest/globals';
import { type AppendOutcome, StorageError } from '../../src/notary/storage.ts';
import { codeOf, type Replica, until, World } from './world.ts';

const start = async (anchors = 3) => {
  const world = new World();
  const replica = world.replica();
  const { clusterId } = await world.cluster(replica);
  const notes: string[] = [];
  for (let i = 0; i < anchors; i++) notes.push((await world.anchor(replica, clusterId)).checkpoint);
  const state = () => world.database.log(clusterId).cluster.state;
  return { world, replica, clusterId, notes, state };
};

const rows = (world: World, clusterId: string) => world.database.entriesOf(clusterId).length;

describe('a log that lost what was acknowledged', () => {
  // Seen red when #reload took the stored head without comparing it with what was acknowledged.
  test('is found out by the next anchor: recovering, DATA_LOSS, nothing written', async () => {
    const { world, replica, clusterId, state } = await start();
    world.takeBack(clusterId, 1, true);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    expect(state()).toBe('recovering');
    expect(rows(world, clusterId)).toBe(1);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('CLUSTER_RECOVERING');
    expect(await codeOf(world.anchor(world.replica(), clusterId))).toBe('CLUSTER_RECOVERING');
    expect(world.logLines.filter(({ level }) => level === 'error')).not.toEqual([]);
    expect(world.offences).toEqual([]);
  });

  test('is found out by a read as well, and still serves what it has', async () => {
    const { world, replica, clusterId, state } = await start();
    world.takeBack(clusterId, 1, true);
    expect(await codeOf(replica.notary.getCheckpoint(clusterId, 0))).toBe('LOG_ROLLED_BACK');
    expect(state()).toBe('recovering');
    expect(world.checkpoint(await replica.notary.getCheckpoint(clusterId, 0)).size).toBe(1);
    expect(world.offences).toEqual([]);
  });

  // Seen red when a cluster that was recovering already kept a server from saying what it knows to be lost.
  test('is told by every server that remembers more, also of a cluster that is recovering for another reason', async () => {
    const { world, replica, clusterId, state } = await start();
    world.takeBack(clusterId, 1, true);
    world.database.changeState({ clusterId, from: ['active'], to: 'recovering', reason: 'another timeline' });
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    const told = () => world.logLines.filter(({ level }) => level === 'error');
    expect(told()).toEqual([
      expect.objectContaining({
        fields: expect.objectContaining({
          detail: 'the stored log ends at size 1, but size 3 was acknowledged',
        }),
      }),
    ]);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('CLUSTER_RECOVERING');
    expect(world.checkpoint(await replica.notary.getCheckpoint(clusterId, 0)).size).toBe(1);
    expect([state(), told().length]).toEqual(['recovering', 1]);
  });

  test('whose heads alone were deleted is found out by a process that never saw them', async () => {
    const { world, clusterId, state } = await start();
    world.takeBack(clusterId, 1, false);
    const fresh = world.replica();
    // Seen red when a duplicate key at an unmoved head was retried like a lost race.
    expect(await codeOf(world.anchor(fresh, clusterId))).toBe('LOG_ROLLED_BACK');
    expect(state()).toBe('recovering');
    expect(rows(world, clusterId)).toBe(3);
    expect(world.offences).toEqual([]);
  });

  // Seen red when the row of a request id was answered from without asking whether the head covers it.
  test('whose heads alone were deleted is found out by the replay of a request id past the head', async () => {
    const { world, replica, clusterId, state } = await start();
    const more = { requestId: crypto.randomUUID(), packedLeaves: world.leaves(1) };
    await world.anchor(replica, clusterId, more);
    world.takeBack(clusterId, 1, false);
    expect(await codeOf(world.anchor(world.replica(), clusterId, more))).toBe('LOG_ROLLED_BACK');
    expect(state()).toBe('recovering');
  });

  test('and went on elsewhere is sealed by the process that signed the other root', async () => {
    const { world, replica, clusterId, state } = await start();
    world.takeBack(clusterId, 1, true);
    // A server without memory and without witnesses goes on: the fork is there, and is recognised from its signatures.
    const fresh = world.replica();
    for (let i = 0; i < 3; i++) await world.anchor(fresh, clusterId);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_FORKED');
    expect(state()).toBe('sealed');
    expect(rows(world, clusterId)).toBe(4);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('CLUSTER_SEALED');
    expect(await codeOf(world.anchor(fresh, clusterId))).toBe('CLUSTER_SEALED');
  });

  test('is not written to while the database cannot be told, and is declared later', async () => {
    const { world, replica, clusterId, state } = await start();
    world.takeBack(clusterId, 1, true);
    const back = replica.storage.around('changeState', async () => {
      throw new StorageError('UNAVAILABLE', 'away');
    });
    for (let i = 0; i < 3; i++) {
      expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
      expect(rows(world, clusterId)).toBe(1);
    }
    expect(state()).toBe('active');
    back();
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    expect(state()).toBe('recovering');
    expect(rows(world, clusterId)).toBe(1);
    expect(world.offences).toEqual([]);
  });

  test('together with the changes of its state is found out, and thawed where nobody signed what is lost', async () => {
    const { world, replica, clusterId, notes, state } = await start(1);
    const before = world.database.log(clusterId).cluster;
    for (let i = 0; i < 3; i++) {
      await replica.registry.freezeCluster(clusterId, 'maintenance');
      await replica.registry.thawCluster(clusterId, 'done', '');
    }
    await replica.notary.getCheckpoint(clusterId, 0);
    await acknowledgeUnsigned(world, replica, clusterId);
    world.takeBack(clusterId, 1, true);
    world.database.log(clusterId).cluster = before;
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    expect(state()).toBe('recovering');
    const calls = replica.storage.calls.length;
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('CLUSTER_RECOVERING');
    expect(replica.storage.calls.length - calls).toBeLessThan(10);
    await replica.registry.thawCluster(clusterId, 'nothing is missing', notes[0]!);
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(1);
    await world.expectSound();
  });

  test('twice can be thawed twice, also when the same size is confirmed again', async () => {
    const { world, replica, clusterId, notes } = await start(1);
    for (let i = 0; i < 2; i++) {
      await acknowledgeUnsigned(world, replica, clusterId);
      world.takeBack(clusterId, 1, true);
      expect(await codeOf(replica.notary.getCheckpoint(clusterId, 0))).toBe('LOG_ROLLED_BACK');
      await world.replica().registry.thawCluster(clusterId, 'nothing is missing', notes[0]!);
      expect(world.checkpoint(await replica.notary.getCheckpoint(clusterId, 0)).size).toBe(1);
    }
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(1);
    await world.expectSound();
  });

  test('and was thawed elsewhere is not appended to before this process has compared', async () => {
    const { world, replica, clusterId, notes, state } = await start(3);
    world.takeBack(clusterId, 1, true);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    const other = world.replica();
    await other.registry.thawCluster(clusterId, 'an old checkpoint', notes[0]!);
    // A read finds the cluster active again, and is held up before it has compared; meanwhile an anchor comes.
    const gate = Promise.withResolvers<void>();
    const stop = replica.storage.around('readLogTiles', async (proceed) => {
      await gate.promise;
      return proceed();
    });
    const reading = codeOf(replica.notary.getCheckpoint(clusterId, 0));
    await until(() => replica.storage.calls.at(-1)?.method === 'readLogTiles');
    const anchoring = codeOf(world.anchor(replica, clusterId));
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    stop();
    gate.resolve();
    expect(await reading).toBe('LOG_FORKED');
    expect(await anchoring).toMatch(/LOG_FORKED|CLUSTER_SEALED/);
    expect(state()).toBe('sealed');
    expect(rows(world, clusterId)).toBe(1);
    expect(world.offences).toEqual([]);
  });

  // Seen red when takesAnchors did not ask whether the rows in view had been compared.
  test('and was thawed and extended elsewhere is not appended to either', async () => {
    const { world, replica, clusterId, notes, state } = await start(3);
    world.takeBack(clusterId, 1, true);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    const other = world.replica();
    await other.registry.thawCluster(clusterId, 'an old checkpoint', notes[0]!);
    for (let i = 0; i < 4; i++) await world.anchor(other, clusterId);
    world.offences.length = 0;
    const gate = replica.storage.hold('changeState');
    const reading = codeOf(replica.notary.getCheckpoint(clusterId, 0));
    await until(() => replica.storage.callsOf('changeState') === 2);
    const anchoring = codeOf(world.anchor(replica, clusterId));
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    gate.resolve();
    expect(await reading).toBe('LOG_FORKED');
    expect(await anchoring).toMatch(/LOG_FORKED|CLUSTER_SEALED/);
    expect(state()).toBe('sealed');
    expect(rows(world, clusterId)).toBe(5);
    expect(world.offences).toEqual([]);
  });

  test('and was thawed and extended elsewhere is sealed by the process that signed what is lost', async () => {
    const { world, replica, clusterId, notes, state } = await start(3);
    world.takeBack(clusterId, 1, true);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_ROLLED_BACK');
    expect(world.checkpoint(await replica.notary.getCheckpoint(clusterId, 0)).size).toBe(1);
    const other = world.replica();
    await other.registry.thawCluster(clusterId, 'an old checkpoint', notes[0]!);
    for (let i = 0; i < 4; i++) await world.anchor(other, clusterId);
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_FORKED');
    expect(state()).toBe('sealed');
    expect(rows(world, clusterId)).toBe(5);
  });
});

describe('what is no rollback', () => {
  test('a row that was seen, never acknowledged, and vanished in a failover', async () => {
    const { world, replica, clusterId, state } = await start();
    const other = world.replica({ outcomePatienceMs: 20 });
    // Another replica's commit is seen here, waits for its standby, and is taken back.
    const away = other.storage.around('confirmDurable', async () => {
      throw new StorageError('UNAVAILABLE', 'failing over');
    });
    other.storage.around('append', async (_proceed, group): Promise<AppendOutcome> => {
      world.database.append(group, false);
      return { kind: 'unknown', cause: new Error('cancelled') };
    });
    const lost = codeOf(other.notary.createAnchor(world.submission(clusterId)));
    await until(() => rows(world, clusterId) === 4);
    replica.storage.once('confirmDurable', async () => {
      throw new StorageError('UNAVAILABLE', 'failing over');
    });
    expect(world.checkpoint(await replica.notary.getCheckpoint(clusterId, 0)).size).toBe(3);
    other.storage.around(
      'append',
      async (): Promise<AppendOutcome> => ({ kind: 'unknown', cause: new Error('away') }),
    );
    world.database.failOver();
    expect(await lost).toBe('OUTCOME_UNKNOWN');
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(3);
    expect(state()).toBe('active');
    away();
    await other.notary.drain(1);
    await world.expectSound();
  });

  // Seen red when durableHead answered with the tail, without confirmDurable.
  test('a head of another replica is signed only once it is durable', async () => {
    const { world, replica, clusterId } = await start();
    const reader = world.replica();
    await reader.notary.getCheckpoint(clusterId, 0);
    replica.storage.once('append', async (_proceed, group): Promise<AppendOutcome> => {
      world.database.append(group, false);
      return { kind: 'appended' };
    });
    await replica.notary.createAnchor(world.submission(clusterId)).catch(() => undefined);
    world.offences.length = 0;
    const gate = reader.storage.hold('confirmDurable');
    const reading = reader.notary.getCheckpoint(clusterId, 0);
    await until(() => reader.storage.callsOf('confirmDurable') > 0);
    gate.resolve();
    expect(world.checkpoint(await reading).size).toBe(4);
    expect(world.offences).toEqual([]);
  });

  // Seen red when a confirmation counted for the tail that was in view when it was sent, whatever came into view since.
  test('a view that is replaced while it is being confirmed: the new one is confirmed in its turn', async () => {
    const { world, replica, clusterId } = await start();
    const reader = world.replica();
    await reader.notary.getCheckpoint(clusterId, 0);
    const hang: PromiseWithResolvers<void>[] = [];
    const append = await world.nextAppend(replica, clusterId);
    world.database.append(append, false);
    const stop = reader.storage.around('confirmDurable', async (proceed) => {
      const gate = Promise.withResolvers<void>();
      hang.push(gate);
      await gate.promise;
      return proceed();
    });
    const first = reader.notary.getCheckpoint(clusterId, 0);
    await until(() => hang.length === 1);
    world.database.failOver();
    await world.anchor(replica, clusterId);
    await world.anchor(replica, clusterId);
    // Another read sees other rows; the confirmation that arrives now is not one of the row that is gone.
    const second = reader.notary.getCheckpoint(clusterId, 0);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    stop();
    for (const gate of hang) gate.resolve();
    expect(world.checkpoint(await first).size).toBe(5);
    expect(world.checkpoint(await second).size).toBe(5);
    await world.expectSound();
  });

  // Seen red when a confirmation was believed of whatever head had been read before it.
  test('is not signed where a failover took it back between the reading and the confirmation', async () => {
    const { world, replica, clusterId } = await start();
    const { logIndex } = await world.anchor(replica, clusterId);
    world.database.append(await world.nextAppend(replica, clusterId), false);
    const reader = world.replica();
    reader.storage.once('confirmDurable', (proceed) => {
      world.database.failOver();
      return proceed();
    });
    const checkpoint = await reader.notary.getCheckpoint(clusterId, 0);
    expect(checkpoint.split('\n')[1]).toBe(String(logIndex + 1));
    expect(world.offences).toEqual([]);
  });

  // Seen red when a late acknowledgement was taken over whatever had been read meanwhile.
  test('is not answered where its acknowledgement comes after a failover to another log', async () => {
    const { world, replica, clusterId } = await start();
    const { logIndex } = await world.anchor(replica, clusterId);
    const other = world.replica();
    const acknowledgement = Promise.withResolvers<void>();
    replica.storage.once('append', async (proceed) => {
      const answered = await proceed();
      await acknowledgement.promise;
      return answered;
    });
    const late = codeOf(world.anchor(replica, clusterId));
    await until(() => world.heads(clusterId).at(-1)!.size === logIndex + 2);
    world.takeBack(clusterId, logIndex + 1, true);
    await world.anchor(other, clusterId);
    await world.anchor(other, clusterId);
    await replica.notary.getCheckpoint(clusterId, 0);
    acknowledgement.resolve();
    expect(await late).toBe('LOG_FORKED');
    expect(world.offences).toEqual([]);
  });

  // Seen red when durableHead fell back to the tail where nothing was known to be durable.
  test('rows that come into view during a confirmation are not covered by it', async () => {
    const { world, replica, clusterId } = await start();
    const reader = world.replica();
    const gate = Promise.withResolvers<void>();
    reader.storage.once('confirmDurable', async (proceed) => {
      const isStored = await proceed();
      await gate.promise;
      return isStored;
    });
    const first = reader.notary.getCheckpoint(clusterId, 0);
    await until(() => reader.storage.callsOf('confirmDurable') === 1);
    const crowd = Array.from({ length: 4200 }, () =>
      replica.notary.createAnchor(world.submission(clusterId)),
    );
    await Promise.all(crowd);
    world.database.append(await world.nextAppend(replica, clusterId), false);
    const second = reader.notary.getCheckpoint(clusterId, 0);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    gate.resolve();
    await Promise.all([first, second]);
    await world.expectSound();
  });
});

/** Another process commits, and dies before it signs; this one learns of it as durable, and does not sign it either. */
async function acknowledgeUnsigned(world: World, replica: Replica, clusterId: string) {
  const group = await world.nextAppend(world.replica(), clusterId);
  expect(world.database.append(group).kind).toBe('appended');
  await replica.notary.getAnchor(group.entries[0]!.anchorId!, clusterId);
}

describe('leaves that were stored before their anchor', () => {
  const big = (world: World) => ({ packedLeaves: world.leaves(8193) });

  // Seen red when the append did not ask for the row: an anchor without leaves.
  test('and lost in a failover are asked for again, and the others of their group are anchored', async () => {
    const { world, replica, clusterId } = await start();
    const hold = replica.storage.hold('append');
    const first = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('append') === 4);
    const lost = codeOf(world.anchor(replica, clusterId, big(world)));
    const small = world.anchor(replica, clusterId);
    await until(() => replica.storage.callsOf('storeBatch') === 1);
    const { batches } = world.database.log(clusterId);
    const [batch] = [...batches.values()].filter(({ leaves }) => leaves.length > 256 * 1024);
    batches.delete(batch!.anchorId);
    hold.resolve();
    expect((await first).logIndex).toBe(3);
    expect(await lost).toBe('STORAGE_UNAVAILABLE');
    expect((await small).logIndex).toBe(4);
    expect((await world.anchor(replica, clusterId, big(world))).logIndex).toBe(5);
    await world.expectSound();
  });

  test('are not asked for for ever where the answer to the append was lost as well', async () => {
    const { world, replica, clusterId } = await start();
    replica.storage.once('append', async () => {
      world.database.log(clusterId).batches.clear();
      return { kind: 'unknown' as const, cause: new Error('connection lost') };
    });
    expect(await codeOf(world.anchor(replica, clusterId, big(world)))).toBe('STORAGE_UNAVAILABLE');
    expect((await world.anchor(replica, clusterId)).logIndex).toBe(3);
  });
});

describe('rows that are seen and cannot be confirmed', () => {
  // Seen red when every reader waited for the newest rows.
  test('do not keep readers from those that are durable', async () => {
    const { world, replica, clusterId } = await start();
    const other = world.replica();
    expect(world.checkpoint(await other.notary.getCheckpoint(clusterId, 0)).size).toBe(3);
    await world.anchor(replica, clusterId);
    world.nowMs += 5000;
    const missing = other.storage.around('confirmDurable', () => new Promise(() => {}));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(world.checkpoint(await other.notary.getCheckpoint(clusterId, 0)).size).toBe(3);
    missing();
  });
});
