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
    const gate = Promise.withResolvers<void>();
    replica.storage.once('changeState', async (proceed) => {
      await gate.promise;
      return proceed();
    });
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
    expect(await codeOf(replica.notary.getCheckpoint(clusterId, 0))).toBe('STORAGE_UNAVAILABLE');
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
    const gate = Promise.withResolvers<void>();
    reader.storage.once('confirmDurable', async (proceed) => {
      await gate.promise;
      return proceed();
    });
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
    const append = await groupOf(world, replica, clusterId);
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

  // Seen red when durableHead fell back to the tail where nothing was known to be durable.
  test('rows that come into view during a confirmation are not covered by it', async () => {
    const { world, replica, clusterId } = await start();
    const reader = world.replica();
    const gate = Promise.withResolvers<void>();
    reader.storage.once('confirmDurable', async (proceed) => {
      await proceed();
      await gate.promise;
    });
    const first = reader.notary.getCheckpoint(clusterId, 0);
    await until(() => reader.storage.callsOf('confirmDurable') === 1);
    const crowd = Array.from({ length: 4200 }, () =>
      replica.notary.createAnchor(world.submission(clusterId)),
    );
    await Promise.all(crowd);
    world.database.append(await groupOf(world, replica, clusterId), false);
    const second = reader.notary.getCheckpoint(clusterId, 0);
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    gate.resolve();
    await Promise.all([first, second]);
    await world.expectSound();
  });
});

describe('a database that was changed', () => {
  const flipped = (bytes: Uint8Array) => bytes.map((byte, i) => (i === 5 ? byte ^ 1 : byte));
  const damages: Record<string, (world: World, clusterId: string) => void> = {
    // Seen red when loadEdge and extendTo took heads without looking at their mac.
    'the mac of its newest head': (world, clusterId) => {
      const { heads } = world.database.log(clusterId);
      heads.set(3, { ...heads.get(3)!, mac: flipped(heads.get(3)!.mac) });
    },
    'the root of its newest head': (world, clusterId) => {
      const { heads } = world.database.log(clusterId);
      heads.set(3, { ...heads.get(3)!, root: flipped(heads.get(3)!.root) });
    },
    'the root of the head before': (world, clusterId) => {
      const { heads } = world.database.log(clusterId);
      heads.set(2, { ...heads.get(2)!, root: flipped(heads.get(2)!.root) });
    },
    // Seen red when loadEdge took the stored hashes without comparing their root with the head's.
    'a record hash': (world, clusterId) => {
      const { entries } = world.database.log(clusterId);
      entries.set(1, { ...entries.get(1)!, recordHash: flipped(entries.get(1)!.recordHash) });
    },
    'a deleted record': (world, clusterId) => {
      world.database.log(clusterId).entries.delete(1);
    },
  };

  test.each(Object.keys(damages))('in %s is not extended and not signed by a new process', async (name) => {
    const { world, clusterId } = await start();
    damages[name]!(world, clusterId);
    const signed = world.signedTexts.length;
    const fresh = world.replica();
    expect(await codeOf(world.anchor(fresh, clusterId))).toBe('LOG_CORRUPT');
    expect(await codeOf(fresh.notary.getCheckpoint(clusterId, 0))).toBe('LOG_CORRUPT');
    expect(await codeOf(fresh.notary.getCheckpoint(clusterId, 3))).toBe('LOG_CORRUPT');
    expect(world.signedTexts).toHaveLength(signed);
  });

  test('by rows that a stranger appended without the seed is not signed by a running process', async () => {
    const { world, replica, clusterId } = await start();
    const group = await groupOf(world, replica, clusterId);
    const forged = { ...group, newHead: { ...group.newHead, mac: new Uint8Array(32).fill(9) } };
    expect(world.database.append(forged).kind).toBe('appended');
    const signed = world.signedTexts.length;
    expect(await codeOf(replica.notary.getCheckpoint(clusterId, 0))).toBe('LOG_CORRUPT');
    expect(await codeOf(world.anchor(replica, clusterId))).toBe('LOG_CORRUPT');
    expect(world.signedTexts).toHaveLength(signed);
    expect(rows(world, clusterId)).toBe(4);
  });

  test('in an older head: that size is not signed, others are', async () => {
    const { world, replica, clusterId } = await start();
    const { heads } = world.database.log(clusterId);
    heads.set(2, { ...heads.get(2)!, root: flipped(heads.get(2)!.root) });
    expect(await codeOf(replica.notary.getCheckpoint(clusterId, 2))).toBe('LOG_CORRUPT');
    expect(world.checkpoint(await replica.notary.getCheckpoint(clusterId, 1)).size).toBe(1);
    // Seen red when headAt did not look at the mac.
    heads.set(1, { ...heads.get(1)!, mac: flipped(heads.get(1)!.mac) });
    expect(await codeOf(replica.notary.getCheckpoint(clusterId, 1))).toBe('LOG_CORRUPT');
  });

  // Seen red when headAt did not recompute the root.
  test('in an old record: sizes that need its hash are not signed, though the newest does not', async () => {
    const { world, replica, clusterId } = await start(1);
    await Promise.all(Array.from({ length: 99 }, () => world.anchor(replica, clusterId)));
    await Promise.all(Array.from({ length: 200 }, () => world.anchor(replica, clusterId)));
    const { entries } = world.database.log(clusterId);
    entries.set(50, { ...entries.get(50)!, recordHash: flipped(entries.get(50)!.recordHash) });
    const fresh = world.replica();
    expect(world.checkpoint(await fresh.notary.getCheckpoint(clusterId, 0)).size).toBe(300);
    expect(await codeOf(fresh.notary.getCheckpoint(clusterId, 100))).toBe('LOG_CORRUPT');
    const { anchorId } = entries.get(51)!;
    const receipt = { anchorId: anchorId!, leafIndex: 0, clusterId };
    expect(await codeOf(fresh.notary.getReceipt(receipt, 0))).toBe('LOG_CORRUPT');
  });

  // Seen red when proveRecord, and when proveLeaf, did not check the path that they had made.
  test('in a record or in a leaf is noticed before a receipt of it leaves the house', async () => {
    const { world, replica, clusterId } = await start(0);
    const { anchorId } = await world.anchor(replica, clusterId, { packedLeaves: world.leaves(3) });
    const log = world.database.log(clusterId);
    const entry = log.entries.get(0)!;
    log.entries.set(0, { ...entry, record: flipped(entry.record) });
    const receipt = { anchorId, leafIndex: 1, clusterId };
    expect(await codeOf(replica.notary.getReceipt(receipt, 0))).toBe('LOG_CORRUPT');
    log.entries.set(0, entry);
    expect(await codeOf(replica.notary.getReceipt(receipt, 0))).toBe('no error');
    log.batches.set(anchorId, {
      ...log.batches.get(anchorId)!,
      leaves: flipped(log.batches.get(anchorId)!.leaves),
    });
    expect(await codeOf(replica.notary.getReceipt(receipt, 0))).toBe('LOG_CORRUPT');
  });
});

describe('a server with another seed', () => {
  // Seen red when LogKeys.open did not compare the derived key with the stored one.
  test('refuses the cluster with SIGNING_KEY_MISMATCH and signs nothing', async () => {
    const { createSeedSigning } = await import('../../src/notary/seed-signing.ts');
    const { world, clusterId } = await start();
    const signed = world.signedTexts.length;
    const stranger = world.replica({ signing: createSeedSigning(new Uint8Array(32).fill(8)) });
    expect(await codeOf(world.anchor(stranger, clusterId))).toBe('SIGNING_KEY_MISMATCH');
    expect(await codeOf(stranger.notary.getCheckpoint(clusterId, 0))).toBe('SIGNING_KEY_MISMATCH');
    expect(world.signedTexts).toHaveLength(signed);
  });
});

/** Another process commits, and dies before it signs; this one learns of it as durable, and does not sign it either. */
async function acknowledgeUnsigned(world: World, replica: Replica, clusterId: string) {
  const group = await groupOf(world, world.replica(), clusterId);
  expect(world.database.append(group).kind).toBe('appended');
  await replica.notary.getAnchor(group.entries[0]!.anchorId!, clusterId);
}

/** An append as this replica would send it now; nothing is written. */
async function groupOf(world: World, { storage, notary }: Replica, clusterId: string) {
  storage.once(
    'append',
    async (): Promise<AppendOutcome> => ({ kind: 'unavailable', cause: new Error('held back') }),
  );
  await codeOf(notary.createAnchor(world.submission(clusterId)));
  return storage.appends.at(-1)!;
}
