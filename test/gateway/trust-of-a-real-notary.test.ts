import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ClusterState } from '#gen/quartermaster/v1/registry_pb.js';
import { GrpcLink } from '../../src/gateway/grpc-link.ts';
import type { AnchorCall } from '../../src/gateway/notary-link.ts';
import { judge } from '../../src/gateway/refusal.ts';
import { Trust } from '../../src/gateway/trust.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import { assembleCheckpoint, formatCheckpointText, parseCheckpoint } from '../../src/note/index.ts';
import { leavesNamed, vkeyOf } from '../integration/careful-caller.ts';
import { type NotaryUnderTest, ORIGIN_PREFIX, startNotary } from '../integration/notary-under-test.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

const LIMITS = { timeoutMs: 10_000, signal: new AbortController().signal };

let database: TestDatabase;
let notary: NotaryUnderTest;
beforeAll(async () => {
  database = await openTestDatabase();
  notary = await startNotary({ databaseUrl: database.databaseUrl });
});
afterAll(async () => {
  await notary.stop();
  await database.close();
});

let clusterId: string;
let key: string;
let link: GrpcLink;
beforeEach(async () => {
  clusterId = randomUUID();
  await notary.registry.createCluster({ clusterId, displayName: 'trust' });
  key = await vkeyOf(notary.seed, clusterId);
  link = new GrpcLink({ endpoint: notary.address });
});
afterEach(() => link.close());

const trusting = (...keys: readonly string[]) => new Trust({ clusterId, keys, link });

const callOf = (trust: Trust, leafCount = 2): AnchorCall => ({
  clusterId,
  packedLeaves: leavesNamed(randomUUID(), leafCount),
  etcdRevision: 0n,
  requestId: randomUUID(),
  knownCheckpoint: trust.knownCheckpoint(),
});

async function anchor(trust: Trust, call = callOf(trust)) {
  return trust.accept(await link.createAnchor(call, LIMITS), call, LIMITS);
}

const sizeOf = (note: string) => parseCheckpoint(note).checkpoint.size;

test('a real notary is believed, call after call and many at once, and after a restart', async () => {
  const trust = trusting(key);
  for (let i = 0; i < 5; i++) await anchor(trust);
  await Promise.all(Array.from({ length: 16 }, () => anchor(trust)));
  expect(sizeOf(trust.knownCheckpoint())).toBe(21);
  const restarted = trusting(key);
  restarted.restore([trust.knownCheckpoint()]);
  expect(await anchor(restarted)).toMatchObject({ logIndex: 21, verified: true });
  expect(await anchor(new Trust({ clusterId, keys: undefined, link }))).toMatchObject({ verified: false });
});

test('a cluster id in upper case is the same cluster', async () => {
  const trust = new Trust({ clusterId: clusterId.toUpperCase(), keys: [key], link });
  expect(await anchor(trust)).toMatchObject({ clusterId });
});

describe('a cluster that is sealed, and succeeded', () => {
  /** Shows the notary a checkpoint that contradicts its log: it seals the cluster. */
  async function seal(): Promise<string> {
    const origin = `${ORIGIN_PREFIX}/${clusterId}`;
    const signer = await createSeedSigning(notary.seed).logKey(origin, 1);
    const text = formatCheckpointText({ origin, size: 1, root: new Uint8Array(32).fill(3) });
    const knownCheckpoint = assembleCheckpoint(text, [await signer.sign(text)]);
    const request = { ...callOf(trusting(key)), knownCheckpoint };
    const error = await link.createAnchor(request, LIMITS).catch((error: unknown) => error);
    expect(judge(error)).toMatchObject({ kind: 'data-loss', status: 'DATA_LOSS' });
    const { cluster } = await notary.registry.getCluster({ clusterId });
    expect(cluster?.state).toBe(ClusterState.SEALED);
    return knownCheckpoint;
  }

  async function succeed() {
    const successorId = randomUUID();
    await notary.registry.createCluster({
      clusterId: successorId,
      displayName: 'next',
      predecessorId: clusterId,
    });
    return { successorId, successorsKey: await vkeyOf(notary.seed, successorId) };
  }

  test('is waited for, and goes on under its successor once its key is pinned', async () => {
    const careful = trusting(key);
    const lost = callOf(careful);
    const { anchorId } = await link.createAnchor(lost, LIMITS); // and the answer does not arrive
    for (let i = 0; i < 3; i++) await anchor(careful);
    await seal();
    const waiting = callOf(careful);
    const refused = await link.createAnchor(waiting, LIMITS).catch((error: unknown) => error);
    expect(judge(refused)).toMatchObject({ kind: 'retry', isDown: false, status: 'FAILED_PRECONDITION' });

    const { successorId, successorsKey } = await succeed();
    await expect(anchor(careful, waiting)).rejects.toMatchObject({ code: 'ORIGIN_MISMATCH' });

    const pinning = trusting(key, successorsKey);
    pinning.restore([careful.knownCheckpoint()]);
    const again = { ...waiting, knownCheckpoint: pinning.knownCheckpoint() };
    expect(sizeOf(again.knownCheckpoint)).toBe(4);
    const first = await anchor(pinning, again);
    // Its first entry is the succession record, and the call that nobody believed was anchored all the same.
    expect(first).toMatchObject({ clusterId: successorId, logIndex: 1, verified: true });
    expect(await anchor(pinning)).toMatchObject({ clusterId: successorId, logIndex: 2 });
    expect(parseCheckpoint(pinning.knownCheckpoint()).checkpoint).toMatchObject({
      origin: `${ORIGIN_PREFIX}/${successorId}`,
      size: 3,
    });

    // What the sealed log holds is proven there, against what was known of it, though no path comes with the answer.
    const replayed = await anchor(pinning, { ...lost, knownCheckpoint: pinning.knownCheckpoint() });
    expect(replayed).toMatchObject({ anchorId, clusterId, logIndex: 0 });
    // And what is presented stays the successor's, where the next one goes.
    expect(sizeOf(pinning.knownCheckpoint())).toBe(3);
    expect(await anchor(pinning)).toMatchObject({ clusterId: successorId, logIndex: 3 });

    const restarted = trusting(successorsKey, key);
    restarted.restore([replayed.checkpoint ?? '', pinning.knownCheckpoint()]);
    expect(await anchor(restarted)).toMatchObject({ clusterId: successorId, logIndex: 4 });
  });

  test('replays what it holds to one who presents an older checkpoint of it', async () => {
    const careful = trusting(key);
    const lost = callOf(careful);
    const { anchorId } = await link.createAnchor(lost, LIMITS);
    await anchor(careful);
    const older = careful.knownCheckpoint();
    await anchor(trusting(key));
    await seal();
    const { successorsKey } = await succeed();
    const pinning = trusting(key, successorsKey);
    pinning.restore([older]);
    const answer = await link.createAnchor({ ...lost, knownCheckpoint: older }, LIMITS);
    expect(answer).toMatchObject({ replayed: true, consistencyPath: [] });
    expect(sizeOf(answer.checkpoint)).toBeGreaterThan(sizeOf(older));
    const accepted = await pinning.accept(answer, { ...lost, knownCheckpoint: older }, LIMITS);
    expect(accepted).toMatchObject({ anchorId, clusterId, verified: true });
  });

  test('lets go on a gateway that holds the very checkpoint which sealed it', async () => {
    const careful = trusting(key);
    await anchor(careful);
    const evidence = await seal();
    const { successorId, successorsKey } = await succeed();
    const pinning = trusting(key, successorsKey);
    pinning.restore([evidence]);
    expect(await anchor(pinning)).toMatchObject({ clusterId: successorId, verified: true });
  });
});
