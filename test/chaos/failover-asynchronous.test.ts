import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { parseRecord } from '../../src/record/index.ts';
import { CarefulCaller, leavesNamed, vkeyOf } from '../integration/careful-caller.ts';
import { ORIGIN_PREFIX } from '../integration/notary-under-test.ts';
import type { ServerProcess } from '../integration/server-process.ts';
import { RustGateway } from '../interop/rust-gateway.ts';
import { endOf, FailoverStage, type Log, patiently } from './failover-stage.ts';
import { DOCUMENTED, Operator } from './operator.ts';

// A standby that nobody waited for is promoted without the last commits. Seen red with every promoted standby trusted: the log
// whose loss no living server remembers was forked.

// Nothing here waits long, but for what does not come.
jest.setTimeout(60_000);
/** Where the gateway is not built yet. */
const BUILDING_MS = 600_000;

const RECOVERING = 'UNAVAILABLE CLUSTER_RECOVERING';

let stage: FailoverStage;
/** Of three, the last dies with the primary. */
let one: ServerProcess;
let other: ServerProcess;
/** Has everything. */
let kept: Log;
/** Lost an anchor that `one` acknowledged and signed. */
let lost: Log;
/** Lost an anchor that only a dead server and its caller knew of. */
let forgotten: Log;
let operator: Operator;

beforeAll(async () => {
  stage = await FailoverStage.set();
  await stage.postgres.addStandby();
  one = await stage.startServer();
  other = await stage.startServer();
  const third = await stage.startServer();
  operator = await Operator.at(other.address);
  [kept, lost, forgotten] = [await stage.newLog(one), await stage.newLog(one), await stage.newLog(third)];
  for (const server of [one, other, third]) await kept.append(server);
  await operator.put('my.log', 'one\ntwo\nthree\n');
  const [anchored, proven] = [
    await operator.run('quartermaster anchor --cluster "$CLUSTER" --lines my.log', {
      CLUSTER: kept.clusterId,
    }),
    await operator.run(
      'quartermaster prove --manifest my.log.manifest.jsonl --line 2 --out line2.tlog-proof',
    ),
  ];
  expect([anchored.code, proven.code]).toEqual([0, 0]);
  await stage.postgres.standbyHasAll();

  await stage.postgres.cutReplication();
  await lost.append(one);
  await forgotten.append(third);
  await third.kill('SIGKILL');
  await stage.postgres.failOver();
});
afterAll(async () => {
  await operator?.leave();
  await stage?.strike();
});

// The tests of this file are one story, in order.

describe('a standby without the last commits', () => {
  test('is noticed by every server, and every cluster is recovering', async () => {
    const notice = /"level":(\d+),[^\n]*"reason":"the database is on timeline 2, before on 1"/;
    const levels = await Promise.all([one.output(notice), other.output(notice)]);
    // One acts, the other follows.
    expect(levels.sort()).toEqual(['50', '60']);
    for (const { clusterId } of [kept, lost, forgotten]) {
      expect(await stage.stateOf(other, clusterId)).toBe('RECOVERING');
    }
  });

  test('takes no anchor: the server that knows of a loss says so', async () => {
    expect(await endOf(lost.append(one))).toBe('DATA_LOSS LOG_ROLLED_BACK');
    await one.output(/("the stored log ends at size 1, but size 2 was acknowledged")/);
    for (const log of [kept, lost, forgotten]) {
      for (const server of [one, other]) {
        expect(await endOf(log.append(server))).toBe(RECOVERING);
        const named = { clusterId: log.clusterId, packedLeaves: leavesNamed('x') };
        expect(await endOf(server.notary.createAnchor(named))).toBe(RECOVERING);
      }
    }
    await stage.expectSound(kept, 5);
    await stage.expectSound(lost, 1);
    await stage.expectSound(forgotten, 1);
  });

  test('serves and proves what it has, and replays it', async () => {
    for (const server of [one, other]) {
      await kept.expectServed(server, 5);
      await lost.expectServed(server, 1);
      await forgotten.expectServed(server, 1);
      const [{ verified, packedLeaves, response }] = [lost.anchored[0]!];
      const { requestId } = parseRecord(response.record) as { requestId: string };
      const again = await lost.caller.anchor(server, packedLeaves, { requestId });
      expect([again.response.replayed, again.verified.anchorId]).toEqual([true, verified.anchorId]);
    }
  });

  test('is no news to a server that comes later, which takes no anchor either', async () => {
    const late = await stage.startServer();
    expect(await endOf(kept.append(late))).toBe(RECOVERING);
    await kept.expectServed(late, 5);
    await late.kill('SIGTERM');
  });
});

describe('where nothing was lost', () => {
  test('a thaw needs the newest checkpoint', async () => {
    const { clusterId } = kept;
    const thaw = (confirmedCheckpoint: string) =>
      endOf(other.registry.thawCluster({ clusterId, reason: 'hope', confirmedCheckpoint }));
    expect(await thaw('')).toBe('FAILED_PRECONDITION THAW_REFUSED');
    expect(await thaw(lost.newest)).toBe('INVALID_ARGUMENT INVALID_ARGUMENT');
    expect(await stage.stateOf(one, clusterId)).toBe('RECOVERING');
  });

  test('the command thaws, and the other server follows', async () => {
    const { clusterId } = kept;
    const listed = await operator.follow('quartermaster cluster list --json', { CLUSTER: clusterId });
    expect(JSON.parse(listed.out)).toMatchObject({
      state: 'recovering',
      state_reason: 'the database is on timeline 2, before on 1: acknowledged anchors may be missing',
    });
    const all = await operator.follow('quartermaster cluster list\n');
    expect(all.out).toMatch(new RegExp(`${clusterId} +recovering`));
    await operator.follow('grep');
    const ofManifest = await operator.read('newest.checkpoint');
    await operator.follow('sed');
    expect(await operator.read('newest.checkpoint')).toBe(ofManifest);
    expect(ofManifest.split('\n')[1]).toBe('5');
    const thawed = await operator.follow('quartermaster cluster thaw', { CLUSTER: clusterId });
    expect(thawed).toMatchObject({ code: 0, out: expect.stringMatching(/state +active/) });
    // Against the checkpoint of before: it is the same log that goes on.
    expect((await kept.append(one)).verified.logIndex).toBe(5);
    expect((await kept.append(other)).verified.logIndex).toBe(6);
    await stage.expectSound(kept, 7);
  });
});

describe('where something was lost', () => {
  let gateway: RustGateway | undefined;
  afterEach(async () => {
    await gateway?.discard();
    gateway = undefined;
  });

  test('a thaw by a server that did not sign it is refused', async () => {
    const { clusterId, newest: confirmedCheckpoint } = forgotten;
    const thawing = other.registry.thawCluster({ clusterId, reason: 'hope', confirmedCheckpoint });
    expect(await endOf(thawing)).toBe('FAILED_PRECONDITION THAW_REFUSED');
    expect(await stage.stateOf(one, clusterId)).toBe('RECOVERING');
  });

  test('a thaw by the server that signed it seals', async () => {
    const { clusterId, newest: confirmedCheckpoint } = lost;
    const thawing = one.registry.thawCluster({ clusterId, reason: 'hope', confirmedCheckpoint });
    expect(await endOf(thawing)).toBe('DATA_LOSS LOG_FORKED');
    expect(await stage.stateOf(other, clusterId)).toBe('SEALED');
    await operator.put('newest.checkpoint', lost.newest);
    const again = await operator.follow('quartermaster cluster thaw', { CLUSTER: clusterId });
    expect(again).toMatchObject({
      code: 1,
      err: expect.stringContaining('sealed for ever; create a successor'),
    });
  });

  test(
    'a successor takes over, and the gateway that names the old cluster goes on by itself',
    async () => {
      const { clusterId } = lost;
      gateway = await RustGateway.start({ address: one.address, clusterId, flushIntervalMs: 50 });
      const events = leavesNamed('events of the outage', 2_000);
      await gateway.submit(events);
      await gateway.told(({ kind }) => kind === 'failed');

      const variables = { CLUSTER: clusterId, NAME: 'production', REQUEST_ID: crypto.randomUUID() };
      const [first, second] = [
        await operator.follow('quartermaster cluster create', variables),
        await operator.follow('quartermaster cluster create', variables),
      ];
      expect(first).toMatchObject({ code: 0, out: expect.stringMatching(/state +active/) });
      expect(second.out).toBe(first.out);
      const successor = /cluster_id +(\S+)/.exec(first.out)![1]!;

      await gateway.submit(leavesNamed('one more'));
      const rows = await gateway.finish();
      expect(rows).toHaveLength(2_001);
      expect(rows.map(({ leaf }) => leaf)).toEqual(hexOf(events).concat(hexOf(leavesNamed('one more'))));
      await expectSuccession(lost, successor);
      await expectStopUntilPinned(lost, successor);
      for (const { anchor_id: anchorId, leaf_index: leafIndex, leaf } of [
        rows[0]!,
        rows[1_999]!,
        rows[2_000]!,
      ]) {
        const { receipt } = await other.notary.getInclusionProof({ anchorId, leafIndex });
        expect(Buffer.from(receipt!.leaf).toString('hex')).toBe(leaf);
      }
      // The old log stays, and answers for what it holds.
      await lost.expectServed(other, 1);
    },
    BUILDING_MS,
  );

  test('a recovering cluster that nobody can thaw is given up for its successor, by RPC', async () => {
    const { clusterId: predecessorId } = forgotten;
    const { cluster } = await other.registry.createCluster({ displayName: 'next', predecessorId });
    expect(await stage.stateOf(one, predecessorId)).toBe('SEALED');
    await expectSuccession(forgotten, cluster!.clusterId);
    await expectStopUntilPinned(forgotten, cluster!.clusterId);
  });
});

describe('a failover that nobody lived through', () => {
  test('is noticed by a server that is started after it, by the lineage in the database', async () => {
    await stage.postgres.addStandby();
    await one.kill('SIGKILL');
    await other.kill('SIGKILL');
    await stage.postgres.failOver();
    const late = await stage.startServer();
    await late.output(/"level":60,[^\n]*"reason":"the database is on (timeline 3), before on 2"/);
    expect(await endOf(kept.append(late))).toBe(RECOVERING);
    const { clusterId, newest: confirmedCheckpoint } = kept;
    await late.registry.thawCluster({ clusterId, reason: 'nothing is missing', confirmedCheckpoint });
    expect((await kept.append(late)).verified.logIndex).toBe(7);
    await stage.expectSound(kept, 8);
  });
});

test('docs/failover.md names no command that was not run here', () => {
  expect([...operator.followed].sort()).toEqual([...DOCUMENTED].sort());
});

function hexOf(packedLeaves: Uint8Array): string[] {
  const leaves = Buffer.from(packedLeaves);
  return Array.from({ length: leaves.length / 32 }, (_, i) => leaves.toString('hex', i * 32, i * 32 + 32));
}

/** The successor's first entry says where the old log ended. */
async function expectSuccession({ caller }: Log, successor: string): Promise<void> {
  const { storage } = stage.postgres.database;
  const [entry] = await storage.listEntries(successor, 0, 1);
  const { size, root } = await caller.checkpoint(other);
  expect(parseRecord(entry!.record)).toMatchObject({
    kind: 'succession',
    predecessorId: caller.clusterId,
    predecessorOrigin: `${ORIGIN_PREFIX}/${caller.clusterId}`,
    predecessorSize: size,
    predecessorRoot: root,
  });
}

/** A client that pinned the old log's key takes no answer of the new one, until it has pinned that one's too. */
async function expectStopUntilPinned(log: Log, successor: string): Promise<void> {
  const known = log.anchored.at(-1)!.verified.checkpoint.checkpoint;
  const packedLeaves = leavesNamed(successor);
  const call = { clusterId: log.clusterId, packedLeaves, knownCheckpoint: known };
  const response = await patiently(() => one.notary.createAnchor(call));
  expect(() => log.caller.verifyAnchor(response, packedLeaves)).toThrow(
    expect.objectContaining({ code: 'ORIGIN_MISMATCH' }),
  );
  await operator.put('seed', Buffer.from(stage.seed).toString('hex'));
  const variables = { SUCCESSOR: successor, ORIGIN_PREFIX };
  const { out } = await operator.follow('quartermaster key show', variables);
  expect(out.trim()).toBe(await vkeyOf(stage.seed, successor));
  const logKeys = [...log.caller.policy.logKeys, out.trim()];
  const pinned = new CarefulCaller(successor, { ...log.caller.policy, logKeys });
  expect(pinned.verifyAnchor(response, packedLeaves).clusterId).toBe(successor);
  const next = await pinned.anchor(other, leavesNamed('goes on'));
  expect(next.verified.clusterId).toBe(successor);
}
