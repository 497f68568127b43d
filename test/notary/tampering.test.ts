import { describe, expect, test } from '@jest/globals';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import { formatVkey } from '../../src/note/index.ts';
import { codeOf, World } from './world.ts';

const start = async (anchors = 3) => {
  const world = new World();
  const replica = world.replica();
  const { clusterId } = await world.cluster(replica);
  for (let i = 0; i < anchors; i++) await world.anchor(replica, clusterId);
  return { world, replica, clusterId };
};

const rows = (world: World, clusterId: string) => world.database.entriesOf(clusterId).length;

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
    const group = await world.nextAppend(replica, clusterId);
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

// Seen red when what was found by a column was answered with that column, and when only keys in use were compared.
describe('a database whose owner adds to what the server says', () => {
  test.each([
    ['anchor_id', { anchorId: '0195c3a0-1c00-7000-8000-000000000000' }],
    ['leaf_count', { leafCount: 7 }],
    ['root', { root: new Uint8Array(32) }],
    ['record', { record: new Uint8Array(32) }],
  ])('in the column %s of an anchor: a retry is not answered with it', async (_name, column) => {
    const { world, replica, clusterId } = await start(0);
    const requestId = 'c0ffee00-0000-4000-8000-000000000000';
    const packedLeaves = world.leaves(3);
    await world.anchor(replica, clusterId, { packedLeaves, requestId });
    const { entries } = world.database.log(clusterId);
    entries.set(0, { ...entries.get(0)!, ...column });
    expect(await codeOf(world.anchor(world.replica(), clusterId, { packedLeaves, requestId }))).toBe(
      'LOG_CORRUPT',
    );
  });

  test('with a retired key of a stranger has none that clients are told to trust', async () => {
    const { world, clusterId } = await start();
    const log = world.database.log(clusterId);
    const strange = await createSeedSigning(new Uint8Array(32).fill(8)).logKey(log.cluster.origin, 1);
    log.keys = [...log.keys, { ...log.keys[0]!, epoch: 2, vkey: formatVkey(strange.key), lastSize: 1 }];
    expect(await codeOf(world.replica().notary.getLog(clusterId))).toBe('SIGNING_KEY_MISMATCH');
  });
});

describe('a server with another seed', () => {
  // Seen red when LogKeys.open did not compare the derived key with the stored one.
  test('refuses the cluster with SIGNING_KEY_MISMATCH and signs nothing', async () => {
    const { world, clusterId } = await start();
    const signed = world.signedTexts.length;
    const stranger = world.replica({ signing: createSeedSigning(new Uint8Array(32).fill(8)) });
    expect(await codeOf(world.anchor(stranger, clusterId))).toBe('SIGNING_KEY_MISMATCH');
    expect(await codeOf(stranger.notary.getCheckpoint(clusterId, 0))).toBe('SIGNING_KEY_MISMATCH');
    expect(world.signedTexts).toHaveLength(signed);
  });
});
