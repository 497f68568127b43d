import { beforeAll, describe, expect, test } from '@jest/globals';
import { fastHasher } from '../../src/merkle/fast.ts';
import { fsck } from '../../src/notary/fsck.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import type { Entry } from '../../src/notary/storage.ts';
import type { StoredLog } from './memory-database.ts';
import { MemoryStorage } from './memory-storage.ts';
import { codeOf, SEED, World } from './world.ts';

const flip = (bytes: Uint8Array, at = 0) => bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));

/** A successor with a log node, a batch with subtree hashes, a request id, a big batch, and heads of several sizes. */
async function build() {
  const world = new World();
  const replica = world.replica();
  const sealed = await world.cluster(replica);
  await replica.storage.changeState({
    clusterId: sealed.clusterId,
    from: ['active'],
    to: 'sealed',
    reason: 'for a successor',
  });
  const { clusterId } = await world.cluster(replica, { predecessorId: sealed.clusterId });
  const big = await world.anchor(replica, clusterId, { packedLeaves: world.leaves(600) });
  const known = await world.anchor(replica, clusterId, { requestId: crypto.randomUUID() });
  for (let i = 0; i < 4; i++) {
    world.nowMs += 1000;
    await Promise.all(Array.from({ length: 70 }, () => world.anchor(replica, clusterId)));
  }
  const huge = await world.anchor(replica, clusterId, { packedLeaves: world.leaves(132_000) });
  return { world, clusterId, big: big.anchorId, known: known.logIndex, huge: huge.anchorId };
}

describe('a clean database', () => {
  test('is found clean, and counted', async () => {
    const { world, clusterId } = await build();
    const all = { clusters: 2, entries: 284, leaves: 600 + 1 + 280 + 132_000, finding: undefined };
    expect(await world.fsck()).toEqual(all);
    expect(await world.fsck(clusterId)).toEqual({ ...all, clusters: 1 });
    expect(await codeOf(world.fsck(crypto.randomUUID()))).toBe('CLUSTER_NOT_FOUND');
  });

  test('is found clean while it grows', async () => {
    const { world, clusterId } = await build();
    const replica = world.replica();
    const storage = new MemoryStorage(world.database);
    let more = 3;
    storage.around('listHeads', async (proceed) => {
      const page = await proceed();
      if (more-- > 0) await world.anchor(replica, clusterId);
      return page;
    });
    const signing = createSeedSigning(SEED);
    const report = await fsck({ storage, signing, hasher: fastHasher, clusterId });
    expect(report).toMatchObject({ clusters: 1, finding: undefined });
    expect(more).toBeLessThanOrEqual(0);
  });

  test('looks like another notary to whoever has another seed', async () => {
    const { world } = await build();
    const storage = new MemoryStorage(world.database);
    const signing = createSeedSigning(new Uint8Array(32));
    const report = await fsck({ storage, signing, hasher: fastHasher, clusterId: undefined });
    expect(report.finding?.where).toBe('log keys');
  });
});

describe('each single damage', () => {
  let story: Awaited<ReturnType<typeof build>>;
  beforeAll(async () => {
    story = await build();
  });

  const entry = (log: StoredLog, logIndex: number, change: (entry: Entry) => Partial<Entry>) => {
    const before = log.entries.get(logIndex)!;
    log.entries.set(logIndex, { ...before, ...change(before) });
  };
  const head = (log: StoredLog, size: number, change: object) => {
    log.heads.set(size, { ...log.heads.get(size)!, ...change });
  };
  const batch = (log: StoredLog, anchorId: string, column: 'leaves' | 'nodes', at: number) => {
    const before = log.batches.get(anchorId)!;
    log.batches.set(anchorId, { ...before, [column]: flip(before[column], at) });
  };
  const sizes = (log: StoredLog) => [...log.heads.keys()].sort((a, b) => a - b);
  const newest = (log: StoredLog) => sizes(log).at(-1)!;
  const middle = (log: StoredLog) => sizes(log).find((size) => size > 3)!;

  const damages: Record<
    string,
    [(log: StoredLog, story: { big: string; huge: string; known: number }) => void, RegExp]
  > = {
    'a bit of a leaf': [(log, { big }) => batch(log, big, 'leaves', 599 * 32), /^anchor .* do not hash/],
    'a bit of a leaf of a huge batch': [
      (log, { huge }) => batch(log, huge, 'leaves', 131_999 * 32 + 31),
      /^anchor .* do not hash/,
    ],
    'a bit of a stored subtree hash': [
      (log, { big }) => batch(log, big, 'nodes', 33),
      /^anchor .* subtree hashes/,
    ],
    'a bit of a subtree hash of a huge batch': [
      (log, { huge }) => batch(log, huge, 'nodes', 515 * 32),
      /^anchor .* subtree hashes/,
    ],
    'a bit of a record': [
      (log) => entry(log, 7, ({ record }) => ({ record: flip(record, 20) })),
      /^entry 7 .* record_hash/,
    ],
    'a record and its hash': [
      (log) =>
        entry(log, 7, ({ record }) => {
          const text = Buffer.from(record).toString().replace('"etcd_revision":"0"', '"etcd_revision":"1"');
          const changed = new Uint8Array(Buffer.from(text));
          return { record: changed, recordHash: fastHasher.leafHash(changed) };
        }),
      /^(head of size|log node) /,
    ],
    'a record_hash': [
      (log) => entry(log, 7, ({ recordHash }) => ({ recordHash: flip(recordHash) })),
      /^entry 7 .* record_hash/,
    ],
    'the succession record': [
      (log) => entry(log, 0, ({ record }) => ({ record: flip(record, 20) })),
      /^entry 0: .* record_hash/,
    ],
    'the column root': [(log) => entry(log, 7, ({ root }) => ({ root: flip(root!) })), /^entry 7 .* root/],
    'the column leaf_count': [(log) => entry(log, 7, () => ({ leafCount: 2 })), /^entry 7 .* leaf_count/],
    'the column request_id': [
      (log, { known }) => entry(log, known, () => ({ requestId: crypto.randomUUID() })),
      /^entry \d+ .* request_id/,
    ],
    'a request_id taken away': [
      (log, { known }) => entry(log, known, () => ({ requestId: undefined })),
      /^entry \d+ .* request_id/,
    ],
    'the column anchor_id': [
      (log) => entry(log, 7, () => ({ anchorId: crypto.randomUUID() })),
      /^entry 7 .* anchor_id/,
    ],
    'the column created_at': [
      (log) => entry(log, 7, ({ createdAtMs }) => ({ createdAtMs: createdAtMs + 1 })),
      /^entry 7 .* created_at/,
    ],
    'a root of a head': [
      (log) => head(log, middle(log), { root: new Uint8Array(32) }),
      /^head of size \d+: its mac/,
    ],
    'a mac': [(log) => head(log, newest(log), { mac: new Uint8Array(32) }), /^head of size \d+: its mac/],
    'an epoch': [(log) => head(log, newest(log), { epoch: 2 }), /^head of size \d+: its mac/],
    'a prev_size': [
      (log) => head(log, newest(log), { prevSize: 1 }),
      /^head of size \d+: it says that it follows size 1/,
    ],
    'the genesis': [(log) => head(log, 0, { root: new Uint8Array(32) }), /^head of size 0/],
    'a log node': [
      (log) => log.nodes.set('1/0', { ...log.nodes.get('1/0')!, hash: new Uint8Array(32) }),
      /^log node \(1, 0\)/,
    ],
    'a deleted log node': [(log) => log.nodes.delete('1/0'), /^stored rows: |^log node/],
    'a deleted genesis': [(log) => log.heads.delete(0), /^head of size 1/],
    'all heads deleted': [(log) => log.heads.clear(), /^heads: there is not even/],
    'a deleted middle head': [
      (log) => log.heads.delete(middle(log)),
      /^head of size \d+: it says that it follows/,
    ],
    'a deleted tail head': [
      (log) => log.heads.delete(newest(log)),
      /^entry 283: it is past the last head, of size 283/,
    ],
    'a deleted entry': [(log) => log.entries.delete(9), /^entry 9: it is missing/],
    'a deleted last entry': [(log) => log.entries.delete(283), /^entry 283: it is missing/],
    'an entry that nobody signed': [
      (log) => log.entries.set(284, { ...log.entries.get(283)!, logIndex: 284 }),
      /^entry 284: it is past the last head/,
    ],
    'deleted leaves': [(log, { big }) => log.batches.delete(big), /^stored rows: .*|^anchor /],
    'shortened leaves': [
      (log, { big }) => log.batches.set(big, { ...log.batches.get(big)!, leaves: new Uint8Array(599 * 32) }),
      /^stored rows|^anchor /,
    ],
    'the origin of the cluster': [
      (log) => {
        log.cluster = { ...log.cluster, origin: `${log.cluster.origin}x` };
      },
      /^log keys/,
    ],
    'a stored key': [
      (log) => {
        log.keys = log.keys.map((key) => ({
          ...key,
          vkey: key.vkey.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A')),
        }));
      },
      /^log keys/,
    ],
    'the predecessor of the cluster': [
      (log) => {
        log.cluster = { ...log.cluster, predecessorId: crypto.randomUUID() };
      },
      /^entry 0: its record names another predecessor/,
    ],
  };

  test.each(Object.keys(damages))('is found and named: %s', async (name) => {
    const { world, clusterId } = story;
    const log = world.database.log(clusterId);
    const { cluster, keys } = log;
    const before = [new Map(log.heads), new Map(log.entries), new Map(log.batches), new Map(log.nodes)];
    const [damage, expected] = damages[name]!;
    damage(log, story);
    const { finding } = await world.fsck(clusterId);
    expect(`${finding?.where}: ${finding?.what}`).toMatch(expected);
    expect(finding?.clusterId).toBe(clusterId);
    expect((await world.fsck()).finding).toEqual(finding);
    // The next damage is the only one again.
    log.cluster = cluster;
    log.keys = keys;
    for (const [i, rows] of [log.heads, log.entries, log.batches, log.nodes].entries()) {
      rows.clear();
      for (const [key, value] of before[i]!) (rows as Map<unknown, unknown>).set(key, value);
    }
    expect((await world.fsck(clusterId)).finding).toBeUndefined();
  });
});
