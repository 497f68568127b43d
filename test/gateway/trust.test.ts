import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { GrpcLink } from '../../src/gateway/grpc-link.ts';
import type { AnchorAnswer, AnchorCall } from '../../src/gateway/notary-link.ts';
import { type AcceptedAnchor, Trust } from '../../src/gateway/trust.ts';
import { parseCheckpoint } from '../../src/note/index.ts';
import { type Receipt, VerificationError, verifyReceipt } from '../../src/verify/index.ts';
import { leavesNamed } from '../integration/careful-caller.ts';
import { naiveInclusionPath } from '../verify/naive-tree.ts';
import { BRANCHES, honestly, LIES, type LieName } from './lies.ts';
import { LyingNotary } from './lying-notary.ts';
import { recordOf, SignedLog, successorOf, vkeyOf } from './signed-log.ts';

const LIMITS = { timeoutMs: 10_000, signal: new AbortController().signal };
const ALL_LIES = Object.entries(LIES).map(([name, lie]) => ({ name: name as LieName, ...lie }));
const ROTATED_SEED = 2;
const SUCCESSORS_SEED = 3;

let notary: LyingNotary;
let link: GrpcLink;
let trust: Trust;
beforeEach(async () => {
  notary = await LyingNotary.start();
  link = new GrpcLink({ endpoint: notary.address });
  trust = trusting(notary.vkey);
});
afterEach(() => {
  link.close();
  notary.stop();
});

const trusting = (...keys: readonly string[]) => new Trust({ clusterId: notary.clusterId, keys, link });
const believing = () => new Trust({ clusterId: notary.clusterId, keys: undefined, link });

const callOf = (leafCount = 2, from = trust): AnchorCall => ({
  clusterId: notary.clusterId,
  packedLeaves: leavesNamed(randomUUID(), leafCount),
  etcdRevision: 7n,
  requestId: randomUUID(),
  knownCheckpoint: from.knownCheckpoint(),
});

const ask = (call: AnchorCall): Promise<AnchorAnswer> => link.createAnchor(call, LIMITS);

async function anchor(by = trust, call = callOf(2, by)): Promise<AcceptedAnchor> {
  return by.accept(await ask(call), call, LIMITS);
}

async function anchorHonestly(count: number, by = trust): Promise<void> {
  for (let i = 0; i < count; i++) await anchor(by);
}

/** Code and message of what is thrown; a promise that resolves fails the test. */
async function refusal(accepted: Promise<unknown> | (() => unknown)) {
  const thrown = await (async () => (typeof accepted === 'function' ? accepted() : accepted))().then(
    (value) => new Error(`accepted: ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (!(thrown instanceof VerificationError)) throw thrown;
  return { code: thrown.code, message: thrown.message };
}

const sizeOf = (note: string) => parseCheckpoint(note).checkpoint.size;

describe('an honest answer', () => {
  test('is accepted, and its checkpoint is presented with the next call', async () => {
    expect(trust.knownCheckpoint()).toBe('');
    for (let size = 1; size <= 5; size++) {
      const call = callOf(size);
      const answer = await ask(call);
      expect(await trust.accept(answer, call, LIMITS)).toEqual({
        anchorId: answer.anchorId,
        clusterId: notary.clusterId,
        logIndex: size - 1,
        checkpoint: answer.checkpoint,
        proof: {
          record: new Uint8Array(answer.record),
          recordPath: answer.recordPath.map((hash) => new Uint8Array(hash)),
          checkpoint: answer.checkpoint,
        },
        verified: true,
      });
      expect(trust.knownCheckpoint()).toBe(answer.checkpoint);
    }
    expect(notary.requests.map(({ knownCheckpoint }) => knownCheckpoint !== '')).toEqual([
      ...[false, true, true, true, true],
    ]);
    expect(notary.askedPaths).toEqual([]);
  });

  test('gives receipts that anybody verifies', async () => {
    await anchorHonestly(2);
    const call = callOf(5);
    const { proof, logIndex, anchorId } = await anchor(trust, call);
    const leaves = Array.from({ length: 5 }, (_, i) => call.packedLeaves.slice(i * 32, i * 32 + 32));
    const receipt: Receipt = { leafIndex: 3, leafPath: naiveInclusionPath(3, leaves), logIndex, ...proof };
    const expected = { leaf: leaves[3]!, anchorId, leafIndex: 3 };
    expect(verifyReceipt(receipt, expected, { logKeys: [notary.vkey] })).toMatchObject({ anchorId });
    expect(trust.acceptReceipt(receipt, expected)).toMatchObject({ anchorId, treeSize: 3 });
    const other = { ...expected, leaf: leaves[2]! };
    expect(await refusal(() => trust.acceptReceipt(receipt, other))).toMatchObject({ code: 'LEAF_PATH' });
    expect(believing().acceptReceipt(receipt, other)).toBeUndefined();
  });

  test('that is replayed is proven against the newest checkpoint, like any other', async () => {
    const call = callOf();
    const first = await ask(call); // and the answer is lost
    await anchorHonestly(3);
    const again = { ...call, knownCheckpoint: trust.knownCheckpoint() };
    expect(await anchor(trust, again)).toMatchObject({ anchorId: first.anchorId, logIndex: 0 });
    expect(notary.requests.at(-1)?.requestId).toBe(call.requestId);
    expect(sizeOf(trust.knownCheckpoint())).toBe(4);
  });

  test('keeps no more of what was received than it needs', async () => {
    const { proof } = await anchor();
    expect(proof.record.buffer.byteLength).toBe(proof.record.length);
  });

  // Red when the leaves are hashed in one go.
  test('to a big batch leaves room for others while it is hashed', async () => {
    const call = callOf();
    const big = { ...call, packedLeaves: new Uint8Array(32 * 100_000) };
    const answer = await ask(call);
    let turns = 0;
    const count = () => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    expect(await refusal(trust.accept(answer, big, LIMITS))).toMatchObject({ code: 'LEAF_COUNT_MISMATCH' });
    clearImmediate(counting);
    expect(turns).toBeGreaterThan(50);
  });
});

// Red, one by one, when the check is taken out: of the record, its fields, its root, the paths, the key, the signature, the
// growth.
describe('a lie', () => {
  test.each(ALL_LIES)('is caught: $name', async ({ name, codes }) => {
    await anchorHonestly(3);
    const known = trust.knownCheckpoint();
    const call = callOf();
    notary.lie = name;
    const lied = await ask(call);
    const { code, message } = await refusal(trust.accept(lied, call, LIMITS));
    expect(codes).toContain(code);
    expect(message.length).toBeGreaterThan(20);
    // It has not changed what is known, and the truth about the same batch is accepted afterwards.
    expect(trust.knownCheckpoint()).toBe(known);
    notary.lie = undefined;
    expect(await anchor(trust, call)).toMatchObject({ verified: true, logIndex: 3 });
    expect(sizeOf(trust.knownCheckpoint())).toBe(4);
  });

  test.each(ALL_LIES)('$name, is noticed without keys where a fault would be', async (lie) => {
    const believer = believing();
    await anchorHonestly(3, believer);
    const call = callOf(2, believer);
    expect(call.knownCheckpoint).toBe('');
    notary.lie = lie.name;
    const accepted = anchor(believer, call);
    if (lie.isNoticedWithoutKeys) expect(lie.codes).toContain((await refusal(accepted)).code);
    else expect(await accepted).toMatchObject({ verified: false });
    notary.lie = undefined;
    const honest = await anchor(believer, callOf(2, believer));
    expect(honest.verified).toBe(false);
    expect(honest.checkpoint).toBeUndefined();
    expect(believer.knownCheckpoint()).toBe('');
  });

  test('about the past is caught after a restart, by the checkpoint that was kept', async () => {
    await anchorHonestly(3);
    for (const name of ['a shrunken log', 'a log whose past was rewritten', 'no consistency path'] as const) {
      const restarted = trusting(notary.vkey);
      restarted.restore([trust.knownCheckpoint()]);
      notary.lie = name;
      expect(LIES[name].codes).toContain((await refusal(anchor(restarted))).code);
      notary.lie = undefined;
      expect(await anchor(restarted)).toMatchObject({ verified: true });
    }
    // And not without it: that is what it is kept for.
    notary.lie = 'a shrunken log';
    expect(await anchor(trusting(notary.vkey))).toMatchObject({ verified: true });
  });

  test('about the signature of a head that is known already does not get into a receipt', async () => {
    const call = callOf();
    await ask(call);
    await anchorHonestly(1);
    const known = trust.knownCheckpoint();
    const again = { ...call, knownCheckpoint: known };
    const answer = await ask(again);
    expect(answer.checkpoint).toBe(known);
    const damaged = { ...answer, checkpoint: notary.log.signedBy(SUCCESSORS_SEED).checkpoint() };
    expect((await trust.accept(damaged, again, LIMITS)).proof.checkpoint).toBe(known);
  });
});

describe('calls in flight together', () => {
  const together = async (count: number) => {
    const calls = Array.from({ length: count }, () => callOf());
    return Promise.all(calls.map(async (call) => ({ call, answer: await ask(call) })));
  };

  test('are accepted in whichever order they come back, each for one further call', async () => {
    await anchorHonestly(2);
    const asked = await together(4);
    const order = [...asked].sort(
      (a, b) => [3, 4, 2, 5][a.answer.logIndex - 2]! - [3, 4, 2, 5][b.answer.logIndex - 2]!,
    );
    const accepted = await Promise.all(order.map(({ answer, call }) => trust.accept(answer, call, LIMITS)));
    expect(accepted.every(({ verified }) => verified)).toBe(true);
    expect(sizeOf(trust.knownCheckpoint())).toBe(6);
    // The first one is proven by its own path.
    expect(notary.askedPaths).toHaveLength(3);
    // What the outbox keeps never gets older.
    const kept = accepted.map(({ checkpoint }) => sizeOf(checkpoint ?? ''));
    expect(kept).toEqual([...kept].sort((a, b) => a - b));
  });

  // Red when a checkpoint is not compared with the newest one: each answer is in order on its own.
  test.each([
    ['of another size', 'first'],
    ['of another size', 'last'],
    ['of the same size', 'first'],
    ['of the same size', 'last'],
  ] as const)('show a fork between them: a branch %s, that comes %s', async (branch, place) => {
    await anchorHonestly(2);
    const [honest, forked] = [callOf(), callOf()];
    const honestAnswer = await ask(honest);
    notary.lie = BRANCHES[branch];
    const forkedAnswer = await ask(forked);
    notary.lie = undefined;
    const one = () => trust.accept(honestAnswer, honest, LIMITS);
    const other = () => trust.accept(forkedAnswer, forked, LIMITS);
    const [earlier, later] = place === 'first' ? [other, one] : [one, other];
    expect(await earlier()).toMatchObject({ verified: true });
    expect(await refusal(later())).toMatchObject({ code: 'CONSISTENCY_PATH' });
  });

  // Red when they are compared at the same time: each would be shown to extend what was known before both.
  test('show a fork between them also where the notary proves each branch', async () => {
    await anchorHonestly(1);
    const [first, honest, forked] = [callOf(), callOf(), callOf()];
    const firstAnswer = await ask(first);
    const honestAnswer = await ask(honest);
    const branch = notary.log.upTo(2).with(recordOf(notary.clusterId, [new Uint8Array(32)]));
    notary.lie = (question) => honestly(question, branch);
    const forkedAnswer = await ask(forked);
    await trust.accept(firstAnswer, first, LIMITS);
    const whole = branch.with(forkedAnswer.record);
    notary.pathsFrom.push(notary.log, whole);
    const accepted = trust.accept(honestAnswer, honest, LIMITS);
    const refused = refusal(trust.accept(forkedAnswer, forked, LIMITS));
    expect(await accepted).toMatchObject({ verified: true });
    expect(await refused).toMatchObject({ code: 'CONSISTENCY_PATH' });
    // Each on its own is proven by what the notary gave.
    const other = trusting(notary.vkey);
    other.restore([firstAnswer.checkpoint]);
    notary.pathsFrom.push(whole);
    expect(await other.accept(forkedAnswer, forked, LIMITS)).toMatchObject({ verified: true });
  });

  test('show a fork between them also where the notary does not answer for its log', async () => {
    await anchorHonestly(1);
    for (const code of [status.NOT_FOUND, status.OUT_OF_RANGE, status.PERMISSION_DENIED]) {
      const [one, other] = await together(2);
      await trust.accept(one!.answer, one!.call, LIMITS);
      notary.refusesPaths = code;
      const { code: refused, message } = await refusal(trust.accept(other!.answer, other!.call, LIMITS));
      expect(refused).toBe('CONSISTENCY_PATH');
      expect(message).toContain(status[code]);
      notary.refusesPaths = undefined;
      await trust.accept(other!.answer, other!.call, LIMITS);
    }
  });

  test('show no fork where the notary is away in between: the same call is made again', async () => {
    await anchorHonestly(1);
    const [one, other] = await together(2);
    await trust.accept(one!.answer, one!.call, LIMITS);
    notary.refusesPaths = status.UNAVAILABLE;
    await expect(trust.accept(other!.answer, other!.call, LIMITS)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
    });
    const again = { ...other!.call, knownCheckpoint: trust.knownCheckpoint() };
    expect(await anchor(trust, again)).toMatchObject({ anchorId: other!.answer.anchorId });
  });
});

describe('a successor', () => {
  const successorId = randomUUID();
  const successorsKey = vkeyOf(successorId, SUCCESSORS_SEED);
  const succeed = () => {
    const sealed = notary.log;
    notary.log = successorOf(sealed, successorId, SUCCESSORS_SEED);
    return sealed;
  };

  test('whose key is pinned goes on, and its checkpoints are presented', async () => {
    const pinning = trusting(notary.vkey, successorsKey);
    await anchorHonestly(3, pinning);
    const sealed = succeed();
    const accepted = await anchor(pinning, { ...callOf(2, pinning), clusterId: sealed.clusterId });
    expect(accepted).toMatchObject({ clusterId: successorId, logIndex: 1, verified: true });
    expect(pinning.knownCheckpoint()).toBe(accepted.checkpoint);
    await anchorHonestly(2, pinning);
    notary.lie = 'a shrunken log';
    expect(await refusal(anchor(pinning))).toMatchObject({ code: 'SIZE_SHRANK' });
  });

  test('whose key is not pinned stops everything, and the message says what to do', async () => {
    await anchorHonestly(3);
    const sealed = succeed();
    const call = { ...callOf(), clusterId: sealed.clusterId };
    const { code, message } = await refusal(anchor(trust, call));
    expect(code).toBe('ORIGIN_MISMATCH');
    expect(message).toContain(successorId);
    expect(message).toContain('pin its key');
    // A new process, with the key.
    const pinning = new Trust({
      clusterId: sealed.clusterId,
      keys: [vkeyOf(sealed.clusterId, 1), successorsKey],
      link,
    });
    pinning.restore([trust.knownCheckpoint()]);
    expect(await anchor(pinning, call)).toMatchObject({ clusterId: successorId });
  });

  test('leaves the predecessor to answer for what it holds, proven against what was known of it', async () => {
    const pinning = trusting(notary.vkey, successorsKey);
    await anchorHonestly(1, pinning);
    const lost = callOf(2, pinning);
    await ask(lost);
    await ask(callOf());
    const sealed = succeed();
    const ofPredecessor = (log: SignedLog) => {
      notary.lie = (question) => {
        const [logIndex, record] = [1, log.entries[1]!];
        const { anchorId } = anchorIdOf(record);
        const leafCount = question.leaves.length;
        // As a real notary does it: the path from what was presented is left out.
        const proof = {
          record,
          logIndex,
          checkpoint: log.checkpoint(),
          recordPath: log.recordPath(logIndex),
        };
        return { anchorId, leafCount, leafIndices: [], ...proof, consistencyPath: [], replayed: true };
      };
    };
    // GetConsistencyProof is asked of the predecessor.
    const successor = notary.log;
    notary.log = sealed;
    ofPredecessor(sealed);
    expect(await anchor(pinning, lost)).toMatchObject({ clusterId: sealed.clusterId, logIndex: 1 });
    expect(notary.askedPaths).toEqual(['1 to 3']);

    const forked = new SignedLog(sealed.clusterId, sealed.seedBytes, [
      successor.entries[0]!,
      ...sealed.entries.slice(1),
    ]);
    ofPredecessor(forked);
    expect(await refusal(anchor(pinning, lost))).toMatchObject({ code: 'CONSISTENCY_PATH' });
    // Whoever presents what this one has not seen itself, as an agent's callers do, is not answered less carefully.
    const agents = new Trust({ clusterId: sealed.clusterId, keys: [vkeyOf(sealed.clusterId, 1)], link });
    expect(await refusal(anchor(agents, lost))).toMatchObject({ code: 'CONSISTENCY_PATH' });

    notary.log = successor;
    notary.lie = undefined;
    const next = { ...callOf(2, pinning), clusterId: sealed.clusterId };
    expect(await anchor(pinning, next)).toMatchObject({ clusterId: successorId });
  });

  const anchorIdOf = (record: Uint8Array) => ({
    anchorId: (JSON.parse(new TextDecoder().decode(record)) as { anchor_id: string }).anchor_id,
  });

  test('is known again after a restart, whichever order its checkpoint was kept in', async () => {
    const pinning = trusting(notary.vkey, successorsKey);
    await anchorHonestly(2, pinning);
    const own = pinning.knownCheckpoint();
    const sealed = succeed();
    const call = { ...callOf(2, pinning), clusterId: sealed.clusterId };
    const successors = (await anchor(pinning, call)).checkpoint ?? '';
    for (const kept of [
      [own, successors],
      [successors, own],
    ]) {
      const restarted = new Trust({
        clusterId: sealed.clusterId.toUpperCase(),
        keys: [vkeyOf(sealed.clusterId, 1), successorsKey],
        link,
      });
      restarted.restore(kept);
      expect(restarted.knownCheckpoint()).toBe(successors);
    }
  });
});

describe('the pinned keys', () => {
  const rotated = () => vkeyOf(notary.clusterId, ROTATED_SEED);

  test('may be two of one log: the old one, both, the new one', async () => {
    const pinning = trusting(notary.vkey, rotated());
    await anchorHonestly(2, pinning);
    for (const seeds of [[1, ROTATED_SEED], [ROTATED_SEED]]) {
      notary.log = notary.log.signedBy(...seeds);
      await anchorHonestly(2, pinning);
    }
    expect(sizeOf(pinning.knownCheckpoint())).toBe(6);
    notary.log = notary.log.signedBy(SUCCESSORS_SEED);
    expect(await refusal(anchor(pinning))).toMatchObject({ code: 'UNKNOWN_KEY' });
  });

  test.each([
    ['no key of the log', () => [vkeyOf(randomUUID(), 1)], 'ORIGIN_MISMATCH', 'no key of its log is pinned'],
    ['another key of the log', () => [rotated()], 'UNKNOWN_KEY', 'after a rotation pin the old key too'],
  ])('that are %s refuse what the outbox has kept, and say so', async (_what, keys, code, words) => {
    await anchorHonestly(1);
    const other = trusting(...keys());
    const thrown = await refusal(() => other.restore([trust.knownCheckpoint()]));
    expect(thrown).toMatchObject({ code });
    expect(thrown.message).toContain(words);
  });

  test.each([
    [
      'was altered',
      (note: string) => note.replace('\n1\n', '\n2\n'),
      'BAD_SIGNATURE',
      'was altered in the outbox',
    ],
    ['is torn', (note: string) => note.slice(0, 60), 'BAD_CHECKPOINT', 'was damaged in the outbox'],
  ])('refuse a kept checkpoint that %s, and none of them is taken up', async (_what, damage, code, words) => {
    await anchorHonestly(1);
    const note = trust.knownCheckpoint();
    const other = trusting(notary.vkey);
    const thrown = await refusal(() => other.restore([note, damage(note)]));
    expect(thrown).toMatchObject({ code });
    expect(thrown.message).toContain(words);
    expect(other.knownCheckpoint()).toBe('');
  });

  test('are not needed to restore what is not looked at', () => {
    const believer = believing();
    believer.restore(['anything']);
    expect(believer.knownCheckpoint()).toBe('');
  });
});
