import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ClusterState } from '#gen/quartermaster/v1/registry_pb.js';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import { assembleCheckpoint, formatCheckpointText } from '../../src/note/index.ts';
import { failure } from '../server/edge.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { PGBOUNCER } from '../support/pgbouncer.ts';
import { type Anchored, CarefulCaller, leavesNamed } from './careful-caller.ts';
import { type NotaryUnderTest, ORIGIN_PREFIX, startNotary } from './notary-under-test.ts';
import { expectRefusal } from './refusals.ts';
import { TamperingOwner } from './tampering-owner.ts';

// What happens when the database is put back to an earlier time: invariant 5.

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

/** A log of two anchors. */
let caller: CarefulCaller;
let anchored: readonly Anchored[];
const requestId = randomUUID();
beforeEach(async () => {
  caller = await CarefulCaller.ofNewCluster(server, server.seed);
  anchored = [await caller.anchor(server, leavesNamed('kept'), { requestId }), await more(server)];
});

const more = (clients: NotaryUnderTest) => caller.anchor(clients, leavesNamed(randomUUID()));

const state = async (clients = server) => {
  const { cluster } = await clients.registry.getCluster({ clusterId: caller.clusterId });
  return { state: cluster?.state, reason: cluster?.stateReason };
};

async function withNewcomer(work: (newcomer: NotaryUnderTest) => Promise<void>): Promise<void> {
  const newcomer = await startNotary({ databaseUrl: database.databaseUrl, seed: server.seed });
  try {
    await work(newcomer);
  } finally {
    await newcomer.stop();
  }
}

/** The log ends at size 1, though size 2 was answered; the server has just found out. */
async function expectRecovering(clients = server, reason = /size [12]/): Promise<void> {
  expect(await state(clients)).toEqual({
    state: ClusterState.RECOVERING,
    reason: expect.stringMatching(reason),
  });
  // What is there is served still, and appends wait for an operator.
  await expectRefusal(
    clients.notary.createAnchor({ clusterId: caller.clusterId, packedLeaves: leavesNamed('x') }),
    {
      code: 'UNAVAILABLE',
      reason: 'CLUSTER_RECOVERING',
      retry: true,
    },
  );
  expect((await caller.checkpoint(clients)).size).toBe(1);
  await caller.prove(clients, anchored[0]!, 0);
  const again = await caller.anchor(clients, leavesNamed('kept'), { requestId });
  expect(again.response.replayed).toBe(true);
}

const rolledBack = (message: RegExp) => ({
  code: 'DATA_LOSS',
  message: expect.stringMatching(message),
  details: expect.objectContaining({ reason: 'LOG_ROLLED_BACK' }),
});

describe('under a running server', () => {
  // Seen red with the comparison with what was acknowledged taken out of ClusterLog: the log was forked.
  test('rows of the tail that are gone, heads and all, stop the next append', async () => {
    await owner.rollBack(caller.clusterId, 1);
    // Nothing in the database contradicts itself: only a memory outside of it can tell.
    expect((await caller.fsck(database.storage, server.seed)).finding).toBeUndefined();
    expect(await failure(more(server))).toMatchObject(
      rolledBack(/ends at size 1, but size 2 was acknowledged/),
    );
    await expectRecovering();
    expect(server.logText()).toContain(`"clusterId":"${caller.clusterId}","state":"recovering"`);
  });

  test('an older copy of the whole database in its place stops the next append', async () => {
    caller = await CarefulCaller.ofNewCluster(server, server.seed);
    anchored = [await caller.anchor(server, leavesNamed('kept'), { requestId })];
    const restoreCopy = await owner.copyDatabase();
    await more(server);
    await restoreCopy();

    expect(await failure(more(server))).toMatchObject(
      rolledBack(/ends at size 1, but size 2 was acknowledged/),
    );
    // By the tables' object ids, before this server looked at what it remembers of this log; but a session with a pooler
    // outlives such a change, which is then noticed by the looks now and then.
    await expectRecovering(server, PGBOUNCER === undefined ? /the tables are other ones/ : /ends at size 1/);
    await database.storage.checkLineage();
  });

  test('a head that is gone while its entries stayed stops the next append', async () => {
    await deleteNewestHead();
    expect(await failure(more(server))).toMatchObject(rolledBack(/size 1/));
    await expectRecovering();
  });

  test('a thaw never goes on without what was signed: it seals', async () => {
    await owner.rollBack(caller.clusterId, 1);
    await failure(more(server));
    const { clusterId } = caller;
    const confirmed = anchored[1]!.response.checkpoint;
    expect(
      await failure(
        server.registry.thawCluster({ clusterId, reason: 'hope', confirmedCheckpoint: confirmed }),
      ),
    ).toMatchObject({ code: 'DATA_LOSS', details: expect.objectContaining({ reason: 'LOG_FORKED' }) });
    expect((await state()).state).toBe(ClusterState.SEALED);
    expect((await caller.checkpoint(server)).size).toBe(1);
  });
});

describe('before a server that remembers nothing', () => {
  test('a head that is gone while its entries stayed is found by the next append, and by fsck', async () => {
    await deleteNewestHead();
    expect((await caller.fsck(database.storage, server.seed)).finding).toEqual({
      clusterId: caller.clusterId,
      where: 'entry 1',
      what: expect.stringMatching(/past the last head, of size 1/),
    });
    await withNewcomer(async (newcomer) => {
      expect(await failure(more(newcomer))).toMatchObject(rolledBack(/past the stored head of size 1/));
      await expectRecovering(newcomer);
    });
  });

  // Seen red with checkKnownCheckpoint leaving sizes past the head alone: the anchor was taken.
  test('rows of the tail that are gone, heads and all, are found by whoever kept a checkpoint', async () => {
    await owner.rollBack(caller.clusterId, 1);
    await withNewcomer(async (newcomer) => {
      const known = anchored[1]!.verified.checkpoint;
      const refused = await failure(caller.anchor(newcomer, leavesNamed('x'), { known }));
      expect(refused).toMatchObject(
        rolledBack(/signed checkpoint of size 2, but the stored log ends at size 1/),
      );
      await expectRecovering(newcomer);
      // The checkpoint is not in the log: nobody may confirm that nothing was lost.
      const confirmedCheckpoint = known.checkpoint;
      const { clusterId } = caller;
      expect(
        await failure(newcomer.registry.thawCluster({ clusterId, reason: 'hope', confirmedCheckpoint })),
      ).toMatchObject({
        code: 'FAILED_PRECONDITION',
        details: expect.objectContaining({ reason: 'THAW_REFUSED' }),
      });
    });
  });
});

describe('a signed checkpoint that contradicts the log', () => {
  // Seen red with the comparison of roots in checkKnownCheckpoint taken out: the anchor was taken.
  test('seals it, for ever, and reads are served', async () => {
    const { clusterId } = caller;
    const knownCheckpoint = await signed(1, leavesNamed('another history'));
    const call = server.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('x'), knownCheckpoint });
    await expectRefusal(call, { code: 'DATA_LOSS', reason: 'LOG_FORKED', message: /another root at size 1/ });
    expect(await state()).toEqual({ state: ClusterState.SEALED, reason: expect.stringContaining('size 1') });

    await expectRefusal(server.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('x') }), {
      code: 'FAILED_PRECONDITION',
      reason: 'CLUSTER_SEALED',
    });
    await expectRefusal(
      server.registry.thawCluster({
        clusterId,
        reason: 'hope',
        confirmedCheckpoint: anchored[1]!.response.checkpoint,
      }),
      { code: 'FAILED_PRECONDITION', reason: 'CLUSTER_SEALED' },
    );
    expect((await caller.checkpoint(server)).size).toBe(2);
    await caller.prove(server, anchored[1]!, 0);
    expect((await caller.anchor(server, leavesNamed('kept'), { requestId })).response.replayed).toBe(true);
  });

  /** By the real key, as only a second history under the same seed would have it. */
  async function signed(size: number, root: Uint8Array): Promise<string> {
    const origin = `${ORIGIN_PREFIX}/${caller.clusterId}`;
    const text = formatCheckpointText({ origin, size, root });
    const signer = await createSeedSigning(server.seed).logKey(origin, 1);
    return assembleCheckpoint(text, [await signer.sign(text)]);
  }
});

function deleteNewestHead(): Promise<void> {
  return owner.change('heads', 'DELETE FROM heads WHERE cluster_id = $1 AND size = 2', [caller.clusterId]);
}
