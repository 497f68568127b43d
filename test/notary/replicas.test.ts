import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type AppendOutcome, StorageError } from '../../src/notary/storage.ts';
import { codeOf, type Replica, World, wandering } from './world.ts';

describe('several replicas on one cluster', () => {
  test('leave no gap and no duplicate, and hand out only consistent checkpoints, in any interleaving', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(
          fc.record({
            at: fc.nat(2),
            seed: fc.nat(),
            requestId: fc.option(fc.nat(5), { nil: undefined }),
            fault: fc.constantFrom(
              'none',
              'none',
              'none',
              'answer lost',
              'request lost',
              'seen only',
              'away',
            ),
            pause: fc.nat(5),
            clock: fc.integer({ min: -5000, max: 5000 }),
            known: fc.boolean(),
          }),
          { minLength: 5, maxLength: 40 },
        ),
        async (count, calls) => {
          const world = new World();
          const replicas = Array.from({ length: count }, (_, i) =>
            world.replica({ travel: wandering(calls[0]!.seed + i), outcomePatienceMs: 5000 }),
          );
          const { clusterId } = await world.cluster(replicas[0]!);
          const requestIds = Array.from({ length: 6 }, () => crypto.randomUUID());
          const leavesOf = requestIds.map(() => world.leaves(2));
          const notes: string[] = [];
          const answered: string[] = [];
          const pending: Promise<void>[] = [];
          for (const call of calls) {
            const replica = replicas[call.at % count]!;
            world.nowMs += call.clock;
            disturb(world, replica, call.fault);
            const more = call.requestId === undefined ? {} : requestOf(call.requestId);
            const knownCheckpoint = call.known ? (notes.at(-1) ?? '') : '';
            pending.push(
              world.anchor(replica, clusterId, { ...more, knownCheckpoint }).then(
                (answer) => {
                  notes.push(answer.checkpoint);
                  answered.push(answer.anchorId);
                },
                (error: { code?: string }) => {
                  // Nothing else may ever go wrong here: no false alarm, no verification failure.
                  if (error.code !== 'STORAGE_UNAVAILABLE') throw error;
                },
              ),
            );
            for (let i = 0; i < call.pause; i++) await new Promise(setImmediate);
          }
          await Promise.all(pending);
          for (const { storage } of replicas) storage.heal();

          const entries = world.database.entriesOf(clusterId);
          expect(entries.map(({ logIndex }) => logIndex)).toEqual(entries.map((_, i) => i));
          const given = entries.flatMap(({ requestId }) => (requestId === undefined ? [] : [requestId]));
          expect(new Set(given).size).toBe(given.length);
          const stored = new Set(entries.map(({ anchorId }) => anchorId));
          expect(answered.filter((anchorId) => !stored.has(anchorId))).toEqual([]);
          expect(world.database.log(clusterId).cluster.state).toBe('active');
          await world.expectConsistent(replicas.at(-1)!, clusterId, notes);
          await world.expectSound();

          function requestOf(number: number) {
            return { requestId: requestIds[number]!, packedLeaves: leavesOf[number]! };
          }
        },
      ),
      { numRuns: 20 },
    );
  });

  test('that append one after the other never fail and never wait for a retry to be told', async () => {
    const { world, replicas, clusterId } = await start(3);
    for (let i = 0; i < 30; i++) expect((await world.anchor(replicas[i % 3]!, clusterId)).logIndex).toBe(i);
    await world.expectSound();
  });

  test('queue for the lock after a lost race, and come back to optimistic appends', async () => {
    const { world, replicas, clusterId } = await start(2);
    const [one, two] = replicas as [Replica, Replica];
    await world.anchor(one, clusterId);
    await world.anchor(two, clusterId);
    expect(one.storage.callsOf('appendLocked')).toBe(0);
    await world.anchor(one, clusterId);
    expect(one.storage.callsOf('appendLocked')).toBe(1);
    // In these words: the benchmark counts them.
    const races = world.logLines.filter(({ message }) => message === 'an append lost a race');
    expect(races.map(({ level, fields }) => [level, fields])).toEqual([['debug', { clusterId, size: 1 }]]);
    const optimistic = one.storage.callsOf('append');
    for (let i = 0; i < 20; i++) await world.anchor(one, clusterId);
    expect(one.storage.callsOf('appendLocked')).toBeLessThan(12);
    expect(one.storage.callsOf('append') - optimistic).toBeGreaterThan(8);
    await world.expectSound();
  });

  test('catch up with many thousands of records that others appended', async () => {
    const { world, replicas, clusterId } = await start(2);
    const [one, two] = replicas as [Replica, Replica];
    await world.anchor(one, clusterId);
    const crowd = Array.from({ length: 5000 }, () => two.notary.createAnchor(world.submission(clusterId)));
    await Promise.all(crowd);
    const { checkpoint } = await world.anchor(one, clusterId);
    expect(world.checkpoint(checkpoint).size).toBe(5002);
    await world.expectConsistent(one, clusterId, [
      checkpoint,
      (await world.anchor(two, clusterId)).checkpoint,
    ]);
  });

  test('see a freeze of another one', async () => {
    const { world, replicas, clusterId } = await start(2);
    const [one, two] = replicas as [Replica, Replica];
    await world.anchor(one, clusterId);
    await two.registry.freezeCluster(clusterId, 'maintenance');
    expect(await codeOf(world.anchor(one, clusterId))).toBe('CLUSTER_FROZEN');
    await two.registry.thawCluster(clusterId, 'done', '');
    expect((await world.anchor(one, clusterId)).logIndex).toBe(1);
  });
});

async function start(count: number) {
  const world = new World();
  const replicas = Array.from({ length: count }, () => world.replica());
  const { clusterId } = await world.cluster(replicas[0]!);
  return { world, replicas, clusterId };
}

const disturbed = new WeakSet<Replica>();

/** At most one fault at a time waits in a replica: each of them costs an append a wait before it is sent again. */
function disturb(world: World, replica: Replica, fault: string): void {
  const { storage } = replica;
  if (fault === 'away') {
    storage.once('readLog', async () => {
      throw new StorageError('UNAVAILABLE', 'away for a moment');
    });
  }
  if (fault === 'none' || fault === 'away' || disturbed.has(replica)) return;
  disturbed.add(replica);
  storage.once('append', async (proceed, group): Promise<AppendOutcome> => {
    disturbed.delete(replica);
    if (fault === 'answer lost') await proceed();
    if (fault === 'seen only') world.database.append(group, false);
    return { kind: 'unknown', cause: new Error('lost') };
  });
}
