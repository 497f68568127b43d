import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { fastHasher } from '../../src/merkle/fast.ts';
import type { Finding } from '../../src/notary/fsck.ts';
import type { Receipt } from '../../src/verify/index.ts';
import { failure } from '../server/edge.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { type Anchored, CarefulCaller, leavesNamed, receiptOf } from './careful-caller.ts';
import { type NotaryUnderTest, startNotary } from './notary-under-test.ts';
import { TamperingOwner } from './tampering-owner.ts';

// What whoever owns the database can do to single rows, and who finds it. Rows that are taken back are in rollback.test.ts.

let database: TestDatabase;
let server: NotaryUnderTest;
let owner: TamperingOwner;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startNotary({ databaseUrl: database.databaseUrl });
  owner = new TamperingOwner(database);
});
afterAll(async () => {
  await server.stop();
  await database.close();
});

/** A log of four anchors in four commits; number 1 is the one that is tampered with. */
let caller: CarefulCaller;
let anchored: readonly Anchored[];
const requestId = randomUUID();
beforeEach(async () => {
  caller = await CarefulCaller.ofNewCluster(server, server.seed);
  const made: Anchored[] = [];
  for (let i = 0; i < 4; i++) {
    const leaves = leavesNamed(`${caller.clusterId}/${i}`, 3);
    made.push(await caller.anchor(server, leaves, i === 1 ? { requestId } : {}));
  }
  anchored = made;
  expect((await caller.fsck(database.storage, server.seed)).finding).toBeUndefined();
});

async function expectFound(where: string, what: RegExp): Promise<void> {
  const { clusterId } = caller;
  const expected: Finding = { clusterId, where, what: expect.stringMatching(what) as unknown as string };
  expect((await caller.fsck(database.storage, server.seed)).finding).toEqual(expected);
}

const target = () => anchored[1]!.verified.anchorId;
const proofOf = (leafIndex: number, from = server) =>
  from.notary.getInclusionProof({ anchorId: target(), leafIndex });

/** Offline, with nothing of the server's but the receipt. */
const verifyTarget = (receipt: Receipt, leafIndex: number) =>
  caller.verify(receipt, anchored[1]!.packedLeaves, target(), leafIndex);

/** Another process, which remembers nothing. */
async function withNewcomer<T>(work: (newcomer: NotaryUnderTest) => Promise<T>): Promise<T> {
  const newcomer = await startNotary({ databaseUrl: database.databaseUrl, seed: server.seed });
  try {
    return await work(newcomer);
  } finally {
    await newcomer.stop();
  }
}

const anchorMore = (clients: NotaryUnderTest) =>
  clients.notary.createAnchor({ clusterId: caller.clusterId, packedLeaves: leavesNamed('more') });

const corrupt = (message: RegExp) => ({
  code: 'DATA_LOSS',
  message: expect.stringMatching(message),
  details: expect.objectContaining({ reason: 'LOG_CORRUPT' }),
});

describe('one other bit', () => {
  // Seen red with the root of a leaf path unchecked in proveLeaves.
  test('in a leaf is found by fsck, by the server that proves it, and by the verifier', async () => {
    const honest = receiptOf((await proofOf(1)).receipt);
    verifyTarget(honest, 1);
    await owner.flip('anchor_leaves', 'leaves', 'cluster_id = $1 AND anchor_id = $2', [
      caller.clusterId,
      target(),
    ]);
    await expectFound(`anchor ${target()} (entry 1)`, /leaves do not hash to its root/);
    expect(await failure(proofOf(0))).toMatchObject(corrupt(new RegExp(`leaf 0 of anchor ${target()}`)));
    expect(await failure(proofOf(2))).toMatchObject(corrupt(new RegExp(`anchor ${target()}`)));
    // A server that proved its neighbour with it all the same would not be believed.
    const { leafPath } = honest;
    const tampered = leavesNamed(`${caller.clusterId}/1`, 3).subarray(0, 32);
    tampered[0]! ^= 1;
    const told = { ...honest, leafPath: [fastHasher.leafHash(tampered), ...leafPath.slice(1)] };
    expect(() => verifyTarget(told, 1)).toThrow(expect.objectContaining({ code: 'LEAF_PATH' }));
  });

  test('in a record is found by fsck, by the server that proves it, and by the verifier', async () => {
    const honest = receiptOf((await proofOf(1)).receipt);
    await owner.flip('anchors', 'record', 'cluster_id = $1 AND log_index = 1', [caller.clusterId]);
    await expectFound(`entry 1 (anchor ${target()})`, /record does not hash/);
    expect(await failure(proofOf(0))).toMatchObject(corrupt(/entry 1 of cluster .*the record was changed/));
    const [stored] = await database.storage.listEntries(caller.clusterId, 1, 1);
    expect(() => verifyTarget({ ...honest, record: stored!.record }, 1)).toThrow(
      expect.objectContaining({ code: 'BAD_RECORD' }),
    );
  });

  test('in a record whose hash is brought in line is found by fsck at its head, by every process that opens the log, and by the verifier', async () => {
    const honest = receiptOf((await proofOf(1)).receipt);
    const where = 'cluster_id = $1 AND log_index = 1';
    await owner.change(
      'anchors',
      `UPDATE anchors SET record = r, record_hash = sha256('\\x00'::bytea || r)
       FROM (SELECT convert_to(replace(convert_from(record, 'UTF8'), '"etcd_revision":"0"', '"etcd_revision":"1"'), 'UTF8') AS r
             FROM anchors WHERE ${where}) AS other WHERE ${where}`,
      [caller.clusterId],
    );
    await expectFound('head of size 2', /root is not that of the records/);
    const [stored] = await database.storage.listEntries(caller.clusterId, 1, 1);
    expect(() => verifyTarget({ ...honest, record: stored!.record }, 1)).toThrow(
      expect.objectContaining({ code: 'RECORD_PATH' }),
    );
    await withNewcomer(async (newcomer) => {
      const refused = corrupt(new RegExp(`${caller.clusterId}.*head of size 4`));
      expect(await failure(anchorMore(newcomer))).toMatchObject(refused);
    });
  });

  // Seen red with the macs unchecked by fsck.
  test.each(['root', 'mac'])(
    'in the %s of an older head is found by fsck and by whoever asks for that size',
    async (column) => {
      await owner.flip('heads', column, 'cluster_id = $1 AND size = 2', [caller.clusterId]);
      await expectFound('head of size 2', /mac is wrong/);
      expect(await failure(caller.checkpoint(server, 2n))).toMatchObject(
        corrupt(/head of size 2 has a wrong mac/),
      );
    },
  );

  // Seen red with the mac unchecked where a log is opened.
  test.each(['root', 'mac'])(
    'in the %s of the newest head keeps every process from extending it',
    async (column) => {
      await owner.flip('heads', column, 'cluster_id = $1 AND size = 4', [caller.clusterId]);
      await expectFound('head of size 4', /mac is wrong/);
      await withNewcomer(async (newcomer) => {
        expect(await failure(anchorMore(newcomer))).toMatchObject(corrupt(/head of size 4 has a wrong mac/));
        expect(await failure(caller.checkpoint(newcomer))).toMatchObject(corrupt(/head of size 4/));
      });
    },
  );

  test('in the root of the newest head refuses the next append of a server that knows better', async () => {
    await owner.flip('heads', 'root', 'cluster_id = $1 AND size = 4', [caller.clusterId]);
    expect(await failure(anchorMore(server))).toMatchObject(corrupt(/head of size 4/));
  });

  test('in a stored subtree hash of the log is found by fsck and by the server that needs it', async () => {
    const { clusterId } = caller;
    const more = await Promise.all(
      Array.from({ length: 300 }, (_, i) => caller.anchor(server, leavesNamed(`node/${i}`))),
    );
    await owner.flip('log_nodes', 'hash', 'cluster_id = $1 AND level = 1 AND index = 0', [clusterId]);
    await expectFound('log node (1, 0)', /256 records/);
    await withNewcomer(async (newcomer) => {
      const refused = corrupt(new RegExp(`${clusterId}.*head of size 304`));
      expect(await failure(caller.prove(newcomer, more.at(-1)!, 0))).toMatchObject(refused);
    });
  });
});

describe('a changed request_id', () => {
  test('is found by fsck, and by the server before it gives anybody the anchor for another request', async () => {
    const other = randomUUID();
    await owner.change(
      'anchors',
      'UPDATE anchors SET request_id = $2 WHERE cluster_id = $1 AND request_id = $3',
      [caller.clusterId, other, requestId],
    );
    await expectFound(`entry 1 (anchor ${target()})`, /column request_id differs/);
    const { packedLeaves } = anchored[1]!;
    const retried = caller.anchor(server, packedLeaves, { requestId: other });
    expect(await failure(retried)).toMatchObject(corrupt(/entry 1 of cluster .*request_id differs/));
  });
});

describe('a deleted row', () => {
  test('of the last entry, whose head stays, is found by fsck and by every process that opens the log', async () => {
    await owner.change('anchors', 'DELETE FROM anchors WHERE cluster_id = $1 AND log_index = 3', [
      caller.clusterId,
    ]);
    await expectFound('entry 3', /missing/);
    await withNewcomer(async (newcomer) => {
      expect(await failure(anchorMore(newcomer))).toMatchObject(corrupt(/./));
      expect(newcomer.logText()).toContain(caller.clusterId);
    });
  });

  test('of leaves is found by fsck', async () => {
    await owner.change(
      'anchor_leaves',
      'DELETE FROM anchor_leaves WHERE cluster_id = $1 AND anchor_id = $2',
      [caller.clusterId, target()],
    );
    const { finding } = await caller.fsck(database.storage, server.seed);
    expect(finding).toMatchObject({ clusterId: caller.clusterId });
    expect(`${finding?.where} ${finding?.what}`).toContain(target());
    expect(await failure(proofOf(0))).toMatchObject(corrupt(/./));
  });

  test('of a head in the middle is found by fsck and by whoever asks for that size', async () => {
    await owner.change('heads', 'DELETE FROM heads WHERE cluster_id = $1 AND size = 2', [caller.clusterId]);
    await expectFound('stored rows', /the head of size 3 follows a head of size 2 that is gone/);
    expect(await failure(caller.checkpoint(server, 2n))).toMatchObject({ code: 'NOT_FOUND' });
  });
});
