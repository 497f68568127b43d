import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Head } from '../../src/notary/storage.ts';
import { createPostgresStorage, type PostgresStorage } from '../../src/postgres/storage.ts';
import { TamperingOwner } from '../integration/tampering-owner.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { NAMED_STATEMENTS } from '../support/pgbouncer.ts';
import { withClient } from '../support/postgres-template.ts';
import { waitingBackend } from '../support/postgres-waits.ts';
import { buildLog, groupAfter, newCluster } from './log-builder.ts';

/** What `appendLocked` is asked to read by tests that need none of it. */
const NOTHING = { fromSize: 0, requestIds: [] };

let database: TestDatabase;
let other: PostgresStorage;
beforeAll(async () => {
  database = await openTestDatabase();
  other = createPostgresStorage({ databaseUrl: database.databaseUrl, namedStatements: NAMED_STATEMENTS });
});
afterAll(async () => {
  await other.close();
  await database.close();
});

describe('replicas that race for one log', () => {
  // Seen red without heads_prev_size_key and with sizes that differ: both were appended.
  test('exactly one append wins each head, whatever its size', async () => {
    const { storage } = database;
    let { clusterId, head } = await buildLog(storage);
    for (let round = 0; round < 60; round++) {
      const groups = [1, 2, 1, 3].map((size) => groupAfter(clusterId, head, Array(size).fill({})));
      const outcomes = await Promise.all(groups.map((group, i) => (i % 2 ? storage : other).append(group)));
      const won = groups.filter((_, i) => outcomes[i]!.kind === 'appended');
      expect(won).toHaveLength(1);
      expect(outcomes.filter((outcome) => outcome.kind === 'refused')).toHaveLength(3);
      head = won[0]!.newHead;
    }
    const heads = await storage.listHeads(clusterId, undefined, 1000);
    expect(heads).toHaveLength(61);
    for (const [i, each] of heads.slice(1).entries()) {
      expect(each).toMatchObject({ prevSize: heads[i]!.size, prevRoot: heads[i]!.root });
    }
    const entries = await storage.listEntries(clusterId, 0, 1000);
    expect(entries.map((entry) => entry.logIndex)).toEqual(entries.map((_, i) => i));
    expect(entries).toHaveLength(head.size);
  });

  test('a request id that races with itself is anchored once', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    let current: Pick<Head, 'size' | 'root'> = head;
    for (let round = 0; round < 30; round++) {
      const requestId = randomUUID();
      const groups = [0, 1].map(() => groupAfter(clusterId, current, [{ requestId }]));
      const outcomes = await Promise.all([storage.append(groups[0]!), other.append(groups[1]!)]);
      expect(outcomes.map((outcome) => outcome.kind).sort()).toEqual(['appended', 'refused']);
      current = (await storage.readLog(clusterId))!.head;
      expect(await storage.append(groupAfter(clusterId, current, [{ requestId }]))).toEqual({
        kind: 'refused',
        knownRequestIds: [requestId],
      });
    }
    expect(current.size).toBe(30);
  });

  // Seen red with FOR KEY SHARE in the place of NO KEY UPDATE: some of the sixty found their head taken.
  test('appends under the lock never lose a race, also against optimistic ones', async () => {
    const { storage } = database;
    const { clusterId } = await buildLog(storage);
    const lockedAppends = Array.from({ length: 60 }, (_, i) =>
      (i % 2 ? storage : other).appendLocked(clusterId, NOTHING, ({ head }) => groupAfter(clusterId, head)),
    );
    let optimistic = 0;
    for (let round = 0; round < 20; round++) {
      const { head } = (await other.readLog(clusterId))!;
      const outcome = await other.append(groupAfter(clusterId, head));
      if (outcome.kind === 'appended') optimistic++;
      else expect(outcome.kind).toBe('refused');
    }
    for (const outcome of await Promise.all(lockedAppends)) expect(outcome).toEqual({ kind: 'appended' });
    expect((await storage.readLog(clusterId))!.head.size).toBe(60 + optimistic);
  });
});

describe('appendLocked', () => {
  test('lets the group be made from what was read under the lock, new records and known request ids included', async () => {
    const { storage } = database;
    const { clusterId, entries } = await buildLog(storage, [3]);
    const requestId = randomUUID();
    const wanted = { fromSize: 1, requestIds: [randomUUID(), requestId] };
    for (let round = 0; round < 2; round++) {
      const outcome = await storage.appendLocked(clusterId, wanted, (locked) => {
        expect(locked.cluster.clusterId).toBe(clusterId);
        expect(locked.newRecordHashes.subarray(0, 64)).toEqual(
          new Uint8Array(Buffer.concat([entries[1]!.recordHash, entries[2]!.recordHash])),
        );
        expect(locked.newRecordHashes).toHaveLength(32 * (2 + round));
        if (locked.knownRequestIds.size > 0) {
          expect([...locked.knownRequestIds]).toEqual([requestId]);
          return undefined;
        }
        return groupAfter(clusterId, locked.head, [{ requestId }]);
      });
      expect(outcome).toEqual(round === 0 ? { kind: 'appended' } : { kind: 'refused', knownRequestIds: [] });
    }
  });

  // Seen red (CORRUPT, for everybody of the group) when whole rows were read to learn which request ids are known.
  test('knows the request id of a row that cannot be read', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const requestId = randomUUID();
    const group = groupAfter(clusterId, head, [{ requestId }]);
    expect(await storage.append(group)).toEqual({ kind: 'appended' });
    // The constraint allows more leaves than an anchor can have.
    const damage = 'UPDATE anchors SET leaf_count = 2147483647 WHERE cluster_id = $1';
    await new TamperingOwner(database).change('anchors', damage, [clusterId]);
    await expect(storage.findEntriesByRequestId(clusterId, [requestId])).rejects.toMatchObject({
      code: 'CORRUPT',
    });
    const wanted = { fromSize: 0, requestIds: [requestId, randomUUID()] };
    const outcome = await storage.appendLocked(clusterId, wanted, (locked) => {
      expect([...locked.knownRequestIds]).toEqual([requestId]);
      return groupAfter(clusterId, locked.head);
    });
    expect(outcome).toEqual({ kind: 'appended' });
  });

  // Seen red when the log was read by the statement that waits for the lock: it sees what was there before the wait.
  test('reads what was committed while it waited for the lock', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const group = groupAfter(clusterId, head);
    await withClient(database.superuserUrl, async (blocker) => {
      await blocker.query('BEGIN');
      await blocker.query('SELECT FROM clusters WHERE cluster_id = $1 FOR SHARE', [clusterId]);
      const waiting = storage.appendLocked(clusterId, NOTHING, (locked) => {
        expect(locked.head.size).toBe(1);
        expect(locked.newRecordHashes).toEqual(group.entries[0]!.recordHash);
        return groupAfter(clusterId, locked.head);
      });
      await withClient(database.superuserUrl, (observer) =>
        waitingBackend(observer, 'Lock', /FOR NO KEY UPDATE/),
      );
      expect(await other.append(group)).toEqual({ kind: 'appended' });
      await blocker.query('COMMIT');
      expect(await waiting).toEqual({ kind: 'appended' });
    });
  });

  test('writes nothing and lets go of the lock when the group cannot be made', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    const failing = storage.appendLocked(clusterId, NOTHING, () => {
      throw new Error('made to fail');
    });
    await expect(failing).rejects.toThrow('made to fail');
    expect(await storage.append(groupAfter(clusterId, head))).toEqual({ kind: 'appended' });
  });

  test('refuses for a cluster that is unknown or frozen', async () => {
    const { storage } = database;
    const unknown = newCluster().cluster.clusterId;
    const refused = { kind: 'refused', knownRequestIds: [] };
    expect(await storage.appendLocked(unknown, NOTHING, ({ head }) => groupAfter(unknown, head))).toEqual(
      refused,
    );
    const { clusterId } = await buildLog(storage);
    await storage.changeState({ clusterId, from: ['active'], to: 'frozen', reason: '' });
    expect(await storage.appendLocked(clusterId, NOTHING, ({ head }) => groupAfter(clusterId, head))).toEqual(
      refused,
    );
  });
});

describe('a change of state', () => {
  // Seen red without FOR SHARE in the append statement: the freeze returned while the append was in flight.
  test('returns only after the appends in flight, and none follows it', async () => {
    const { storage } = database;
    const { clusterId, head } = await buildLog(storage);
    await withClient(database.ownerUrl, async (blocker) => {
      // Holds the append in the middle, after it has taken the cluster's row: its head waits for this one of the same size.
      await blocker.query('BEGIN');
      await blocker.query('INSERT INTO heads VALUES ($1, 1, 0, 1, $2, $2)', [clusterId, Buffer.alloc(32)]);
      await withClient(database.superuserUrl, async (observer) => {
        const order: string[] = [];
        const appending = storage.append(groupAfter(clusterId, head)).then((outcome) => {
          order.push('append');
          return outcome;
        });
        await waitingBackend(observer, 'Lock', /INSERT INTO heads/);
        const freezing = other
          .changeState({ clusterId, from: ['active'], to: 'frozen', reason: 'a test' })
          .then((cluster) => {
            order.push('freeze');
            return cluster;
          });
        await waitingBackend(observer, 'Lock', /update "clusters"/);
        await blocker.query('ROLLBACK');
        expect(await appending).toEqual({ kind: 'appended' });
        expect(await freezing).toMatchObject({ state: 'frozen', stateVersion: 2 });
        expect(order).toEqual(['append', 'freeze']);
      });
    });
  });

  test('happens once where several want it from the same version', async () => {
    const { storage } = database;
    const { clusterId } = await buildLog(storage);
    const changes = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        (i % 2 ? storage : other).changeState({
          clusterId,
          from: ['active', 'frozen'],
          to: i % 2 ? 'frozen' : 'recovering',
          reason: String(i),
          expectedVersion: 1,
        }),
      ),
    );
    expect(changes.filter((cluster) => cluster !== undefined)).toHaveLength(1);
  });
});
