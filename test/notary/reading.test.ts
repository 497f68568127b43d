import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { fastHasher } from '../../src/merkle/fast.ts';
import { hashBatch } from '../../src/merkle/index.ts';
import { verifyCheckpointConsistency, verifyReceipt } from '../../src/verify/index.ts';
import { codeOf, NATIVELY, type Replica, World } from './world.ts';

const start = async () => {
  const world = new World();
  const replica = world.replica();
  const cluster = await world.cluster(replica);
  return { world, replica, cluster, clusterId: cluster.clusterId };
};

const leafOf = (packed: Uint8Array, i: number) => packed.slice(i * 32, i * 32 + 32);

async function checkReceipt(
  world: World,
  { notary }: Replica,
  packed: Uint8Array,
  place: { readonly anchorId: string; readonly leafIndex: number; readonly clusterId: string | undefined },
  treeSize = 0,
) {
  const receipt = await notary.getReceipt(place, treeSize);
  const { anchorId, leafIndex } = place;
  const leaf = leafOf(packed, leafIndex);
  const verdict = verifyReceipt(receipt, { leaf, anchorId, leafIndex }, world.policy, NATIVELY);
  if (treeSize > 0) expect(verdict.treeSize).toBe(treeSize);
  return verdict;
}

describe('receipts', () => {
  test.each([1, 2, 255, 256, 257, 1000, 8192, 8193, 70_000])(
    'of a batch of %i leaves verify at every committed head that covers it',
    async (leafCount) => {
      const { world, replica, clusterId } = await start();
      for (let i = 0; i < 3; i++) await world.anchor(replica, clusterId);
      const packedLeaves = world.leaves(leafCount);
      const { anchorId, logIndex } = await world.anchor(replica, clusterId, { packedLeaves });
      for (let i = 0; i < 5; i++) await world.anchor(replica, clusterId);
      const indexes = [0, 1, 255, 256, Math.floor(leafCount / 2), 65_535, 65_536, leafCount - 1];
      for (const server of [replica, world.replica()]) {
        for (const leafIndex of new Set(indexes.filter((i) => i < leafCount))) {
          for (const size of [0, logIndex + 1, logIndex + 2, logIndex + 5]) {
            await checkReceipt(world, server, packedLeaves, { anchorId, leafIndex, clusterId }, size);
          }
        }
        const place = { anchorId, leafIndex: 0, clusterId: undefined };
        await checkReceipt(world, server, packedLeaves, place);
      }
      await world.expectSound();
    },
  );

  test('for many leaves come under one checkpoint, in the order of the question', async () => {
    const { world, replica, clusterId } = await start();
    const batches = await Promise.all(
      [300, 1, 7].map(async (count) => {
        const packedLeaves = world.leaves(count);
        return { packedLeaves, ...(await world.anchor(replica, clusterId, { packedLeaves })) };
      }),
    );
    const [big, one, few] = batches.map(({ anchorId }) => anchorId) as [string, string, string];
    const references = [
      { anchorId: few, leafIndex: 6 },
      { anchorId: big, leafIndex: 299 },
      { anchorId: few, leafIndex: 0 },
      { anchorId: one, leafIndex: 0 },
      ...Array.from({ length: 200 }, (_, i) => ({ anchorId: big, leafIndex: i })),
    ];
    const answer = await replica.notary.getReceipts(clusterId, references, 0);
    const found = answer.anchors.map(({ leaves }) => leaves.map(({ leafIndex }) => leafIndex));
    expect(found).toEqual([[6, 0], [299, ...Array.from({ length: 200 }, (_, i) => i)], [0]]);
    for (const [i, anchorId] of [few, big, one].entries()) {
      const { packedLeaves } = batches.find((batch) => batch.anchorId === anchorId)!;
      const { leaves, ...record } = answer.anchors[i]!;
      for (const leaf of leaves) {
        const receipt = { ...leaf, ...record, checkpoint: answer.checkpoint };
        const expected = { leaf: leafOf(packedLeaves, leaf.leafIndex), anchorId };
        verifyReceipt(receipt, expected, world.policy, NATIVELY);
      }
    }
    const unknown = [...references, { anchorId: crypto.randomUUID(), leafIndex: 0 }];
    expect(await codeOf(replica.notary.getReceipts(clusterId, unknown, 0))).toBe('ANCHOR_NOT_FOUND');
    const past = [...references, { anchorId: one, leafIndex: 1 }];
    expect(await codeOf(replica.notary.getReceipts(clusterId, past, 0))).toBe('LEAF_INDEX_OUT_OF_RANGE');
  });

  test('are refused for sizes and indexes that do not exist', async () => {
    const { world, replica, clusterId } = await start();
    const first = await world.anchor(replica, clusterId);
    await Promise.all(Array.from({ length: 3 }, () => world.anchor(replica, clusterId)));
    const { anchorId } = first;
    const receipt = (leafIndex: number, treeSize: number, id = anchorId, cluster?: string) =>
      codeOf(replica.notary.getReceipt({ anchorId: id, leafIndex, clusterId: cluster }, treeSize));
    expect(world.heads(clusterId).map(({ size }) => size)).toEqual([0, 1, 4]);
    expect(await receipt(0, 4)).toBe('no error');
    expect(await receipt(1, 0)).toBe('LEAF_INDEX_OUT_OF_RANGE');
    expect(await receipt(0, 2)).toBe('TREE_SIZE_NOT_COMMITTED');
    expect(await receipt(0, 5)).toBe('TREE_SIZE_OUT_OF_RANGE');
    expect(await receipt(0, 0, crypto.randomUUID())).toBe('ANCHOR_NOT_FOUND');
    expect(await receipt(0, 0, anchorId, crypto.randomUUID())).toBe('CLUSTER_NOT_FOUND');
    const { anchorId: last } = world.database.entriesOf(clusterId)[3]!;
    expect(await receipt(0, 1, last)).toBe('TREE_SIZE_OUT_OF_RANGE');
    const other = await world.cluster(replica);
    expect(await receipt(0, 0, anchorId, other.clusterId)).toBe('ANCHOR_NOT_FOUND');
  });
});

describe('checkpoints and consistency', () => {
  test('of all pairs of committed heads verify, from a fresh process too', async () => {
    const { world, replica, clusterId } = await start();
    for (const count of [1, 2, 255, 1, 300, 40]) {
      await Promise.all(Array.from({ length: count }, () => world.anchor(replica, clusterId)));
    }
    const sizes = world.heads(clusterId).map(({ size }) => size);
    expect(sizes.at(-1)).toBe(599);
    for (const server of [replica, world.replica()]) {
      const notes = await Promise.all(sizes.map((size) => server.notary.getCheckpoint(clusterId, size)));
      // Size 0 is "the latest" here, so the empty log's checkpoint is not among them.
      expect(world.checkpoint(notes[0]!).size).toBe(599);
      await world.expectConsistent(server, clusterId, notes);
      expect(await server.notary.getConsistencyPath(clusterId, 0, 599)).toEqual([]);
      expect(await server.notary.getConsistencyPath(clusterId, 599, 599)).toEqual([]);
    }
    await world.expectSound();
  });

  test('of sizes that no commit ended at, or past the end, are refused', async () => {
    const { world, replica, clusterId } = await start();
    await world.anchor(replica, clusterId);
    await Promise.all(Array.from({ length: 4 }, () => world.anchor(replica, clusterId)));
    const { notary } = replica;
    expect(await codeOf(notary.getCheckpoint(clusterId, 3))).toBe('TREE_SIZE_NOT_COMMITTED');
    expect(await codeOf(notary.getCheckpoint(clusterId, 6))).toBe('TREE_SIZE_OUT_OF_RANGE');
    expect(await codeOf(notary.getConsistencyPath(clusterId, 1, 3))).toBe('TREE_SIZE_NOT_COMMITTED');
    expect(await codeOf(notary.getConsistencyPath(clusterId, 3, 5))).toBe('TREE_SIZE_NOT_COMMITTED');
    expect(await codeOf(notary.getConsistencyPath(clusterId, 1, 6))).toBe('TREE_SIZE_OUT_OF_RANGE');
  });

  test('of an anchor that another replica has just made is given without waiting', async () => {
    const { world, replica, clusterId } = await start();
    const other = world.replica();
    await other.notary.getCheckpoint(clusterId, 0);
    for (let i = 0; i < 3; i++) {
      const packedLeaves = world.leaves(2);
      const { anchorId, checkpoint } = await world.anchor(replica, clusterId, { packedLeaves });
      await checkReceipt(world, other, packedLeaves, { anchorId, leafIndex: 1, clusterId });
      expect(world.checkpoint(await other.notary.getCheckpoint(clusterId, i + 1))).toMatchObject({
        size: world.checkpoint(checkpoint).size,
      });
    }
  });

  test('are watched: the current one at once, then the newest, until the signal or the end', async () => {
    const { world, replica, clusterId } = await start();
    await world.anchor(replica, clusterId);
    const stop = new AbortController();
    const sizes: number[] = [];
    let older = world.checkpoint(await replica.notary.getCheckpoint(clusterId, 0));
    for await (const note of replica.notary.watchCheckpoints(clusterId, stop.signal)) {
      const newer = world.checkpoint(note);
      const path = await replica.notary.getConsistencyPath(clusterId, older.size, newer.size);
      verifyCheckpointConsistency(older, newer, path, NATIVELY);
      older = newer;
      sizes.push(newer.size);
      if (sizes.length === 1) for (let i = 0; i < 5; i++) await world.anchor(replica, clusterId);
      else stop.abort();
    }
    expect(sizes).toEqual([1, 6]);
    const ended = (async () => {
      for await (const _note of replica.notary.watchCheckpoints(clusterId, new AbortController().signal)) {
        void replica.notary.drain(0);
      }
    })();
    await ended;
  });
});

describe('anchors', () => {
  test('are listed by time and place as a naive filter would', async () => {
    const { world, replica, cluster, clusterId } = await start();
    await replica.storage.changeState({
      clusterId,
      from: ['active'],
      to: 'sealed',
      reason: 'for a successor',
    });
    const successor = await world.cluster(replica, { predecessorId: cluster.clusterId });
    const times: number[] = [];
    for (let i = 0; i < 40; i++) {
      world.nowMs += [0, 0, 1, 1000, -500][i % 5]!;
      const { verified } = await world.anchor(replica, successor.clusterId);
      times.push(verified.createdAtMs);
    }
    const entries = world.database.entriesOf(successor.clusterId);
    const time = fc.option(
      fc.oneof(fc.constantFrom(...times), fc.integer({ min: times[0]! - 10, max: times.at(-1)! + 10 })),
      {
        nil: undefined,
      },
    );
    await fc.assert(
      fc.asyncProperty(time, time, fc.integer({ min: 1, max: 50 }), async (startMs, endMs, limit) => {
        const found: (string | undefined)[] = [];
        for (let next: number | undefined = 0; next !== undefined; ) {
          const query = { clusterId: successor.clusterId, fromLogIndex: next, limit, startMs, endMs };
          const page = await replica.notary.listAnchors(query);
          expect(page.entries.length).toBeLessThanOrEqual(limit);
          found.push(...page.entries.map(({ anchorId }) => anchorId));
          next = page.nextLogIndex;
        }
        const naive = entries.filter(
          ({ anchorId, createdAtMs }) =>
            anchorId !== undefined &&
            (startMs === undefined || createdAtMs >= startMs) &&
            (endMs === undefined || createdAtMs < endMs),
        );
        expect(found).toEqual(naive.map(({ anchorId }) => anchorId));
      }),
    );
  });

  test('and their leaves are read in pages that put together what was sent', async () => {
    const { world, replica, clusterId } = await start();
    const packedLeaves = world.leaves(1000);
    const { anchorId, record } = await world.anchor(replica, clusterId, { packedLeaves });
    for (const named of [clusterId, undefined]) {
      const entry = await replica.notary.getAnchor(anchorId, named);
      expect(entry).toMatchObject({ clusterId, record, root: hashBatch(fastHasher, packedLeaves).root });
      const pages: Uint8Array[] = [];
      for (let next: number | undefined = 0; next !== undefined; ) {
        const query = { anchorId, clusterId: named, firstLeafIndex: next, limit: 333 };
        const page = await replica.notary.listLeaves(query);
        expect(page.firstLeafIndex).toBe(next);
        pages.push(page.packedLeaves);
        next = page.nextLeafIndex;
      }
      expect(Buffer.concat(pages).equals(packedLeaves)).toBe(true);
    }
    const past = { anchorId, clusterId, firstLeafIndex: 1000, limit: 1 };
    expect(await codeOf(replica.notary.listLeaves(past))).toBe('LEAF_INDEX_OUT_OF_RANGE');
    expect(await codeOf(replica.notary.getAnchor(crypto.randomUUID(), undefined))).toBe('ANCHOR_NOT_FOUND');
    const nowhere = crypto.randomUUID();
    expect(await codeOf(replica.notary.getAnchor(anchorId, nowhere))).toBe('CLUSTER_NOT_FOUND');
    expect(await codeOf(replica.notary.getLog(nowhere))).toBe('CLUSTER_NOT_FOUND');
  });
});
