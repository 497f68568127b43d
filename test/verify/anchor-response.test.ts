import { describe, expect, test } from '@jest/globals';
import type { AnchorRecord } from '../../src/record/index.ts';
import {
  type AnchorRequest,
  type AnchorResponse,
  verifyAnchorResponse,
  verifyCheckpoint,
} from '../../src/verify/index.ts';
import { naiveConsistencyPath, naiveInclusionPath, naiveRoot } from './naive-tree.ts';
import { expectRefusal, leavesOf, TestLog } from './test-log.ts';

const CLUSTER = '7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70';
const REQUEST = 'c0ffee00-0000-4000-8000-00000000c0de';
const leaves = leavesOf(9);
const packedLeaves = new Uint8Array(Buffer.concat(leaves));

/** A log of three older entries, then ours, then a younger one, and what it answers. */
function answer(fields: Partial<AnchorRecord> = {}, batch = leaves) {
  const log = new TestLog(CLUSTER, 1);
  for (let size = 1; size <= 3; size++) log.append(leavesOf(size, 'older'));
  const policy = { logKeys: [log.vkey] };
  const known = verifyCheckpoint(log.checkpoint(), policy);
  const logIndex = log.append(batch, { requestId: REQUEST, etcdRevision: 42n, ...fields });
  log.append(leavesOf(2, 'younger'));
  const request: AnchorRequest = {
    clusterId: CLUSTER,
    packedLeaves,
    etcdRevision: 42n,
    requestId: REQUEST,
    known,
  };
  const response: AnchorResponse = {
    anchorId: '0195c3a0-1c00-7000-8000-000000000003',
    leafCount: 9,
    leafIndices: [],
    record: log.entries[logIndex]!,
    logIndex,
    checkpoint: log.checkpoint(),
    recordPath: naiveInclusionPath(logIndex, log.entries),
    consistencyPath: naiveConsistencyPath(3, log.entries),
  };
  return { log, policy, request, response };
}

const { log, policy, request, response } = answer();

describe('verifying an answer to CreateAnchor', () => {
  test('gives the anchor and the checkpoint to keep', () => {
    expect(verifyAnchorResponse(response, request, policy)).toEqual({
      anchorId: response.anchorId,
      clusterId: CLUSTER,
      leafCount: 9,
      root: naiveRoot(leaves),
      logIndex: 3,
      createdAtMs: 1_700_000_000_003,
      checkpoint: verifyCheckpoint(log.checkpoint(), policy),
    });
  });

  test('ids may be written in any case, leaf indices may be there, and nothing need be known', () => {
    const { known: _, ...unknowing } = request;
    const upper = { ...unknowing, clusterId: CLUSTER.toUpperCase(), requestId: REQUEST.toUpperCase() };
    const answered = { ...response, leafIndices: [...leaves.keys()], consistencyPath: [] };
    expect(verifyAnchorResponse(answered, upper, policy).logIndex).toBe(3);
  });

  test('a request without revision and request id is answered by a record of revision 0 and without request id', () => {
    const log = new TestLog(CLUSTER, 1);
    log.append(leaves);
    const plain = {
      ...response,
      anchorId: '0195c3a0-1c00-7000-8000-000000000000',
      logIndex: 0,
      recordPath: [],
      consistencyPath: [],
    };
    const answered = { ...plain, record: log.entries[0]!, checkpoint: log.checkpoint() };
    expect(verifyAnchorResponse(answered, { clusterId: CLUSTER, packedLeaves }, policy).leafCount).toBe(9);
    expectRefusal(
      () => verifyAnchorResponse(answered, { clusterId: CLUSTER, packedLeaves, requestId: REQUEST }, policy),
      'REQUEST_ID_MISMATCH',
    );
  });

  test('a checkpoint of the known size and root is not verified again, any other is', () => {
    const known = verifyCheckpoint(response.checkpoint, policy);
    const refuseAll = { verifyEd25519: () => false };
    const again = { ...response, consistencyPath: [] };
    expect(verifyAnchorResponse(again, { ...request, known }, policy, refuseAll).checkpoint).toBe(known);
    expectRefusal(() => verifyAnchorResponse(response, request, policy, refuseAll), 'BAD_SIGNATURE');
    const otherSize = { ...known, size: known.size - 1 };
    expectRefusal(
      () => verifyAnchorResponse(again, { ...request, known: otherSize }, policy, refuseAll),
      'BAD_SIGNATURE',
    );
    const otherRoot = { ...known, root: new Uint8Array(32) };
    expectRefusal(
      () => verifyAnchorResponse(again, { ...request, known: otherRoot }, policy, refuseAll),
      'BAD_SIGNATURE',
    );
    expectRefusal(
      () => verifyAnchorResponse(again, { ...request, known: otherRoot }, policy),
      'CONSISTENCY_PATH',
    );
  });

  // Invariant 6 on the writing side. Seen red with each check taken out of checkRecord, rootOf and checkGrowth.
  test.each<[string, Parameters<typeof expectRefusal>[1], ReturnType<typeof answer>]>([
    ['other leaves', 'ROOT_MISMATCH', answer({}, leavesOf(9, 'other'))],
    ['fewer leaves', 'LEAF_COUNT_MISMATCH', answer({}, leaves.slice(0, 8))],
    ['another revision', 'REVISION_MISMATCH', answer({ etcdRevision: 41n })],
    ['another request', 'REQUEST_ID_MISMATCH', answer({ requestId: CLUSTER })],
    ['another anchor id', 'ANCHOR_MISMATCH', answer({ anchorId: CLUSTER })],
    ['another cluster', 'CLUSTER_MISMATCH', answer({ clusterId: REQUEST })],
  ])('a record of %s is refused as %s', (_, code, { request, response, policy }) => {
    expectRefusal(() => verifyAnchorResponse(response, request, policy), code);
  });

  test('a log of another cluster, though pinned, is refused', () => {
    const other = new TestLog(REQUEST, 1);
    other.append(leaves, { requestId: REQUEST, etcdRevision: 42n });
    const answered = {
      ...response,
      record: other.entries[0]!,
      logIndex: 0,
      recordPath: [],
      checkpoint: other.checkpoint(),
    };
    expectRefusal(
      () => verifyAnchorResponse(answered, request, { logKeys: [log.vkey, other.vkey] }),
      'CLUSTER_MISMATCH',
    );
  });

  test('an anchor that is not in the log that was signed is refused', () => {
    expectRefusal(
      () => verifyAnchorResponse({ ...response, logIndex: 5 }, request, policy),
      'LOG_INDEX_OUT_OF_RANGE',
    );
    expectRefusal(() => verifyAnchorResponse({ ...response, logIndex: 2 }, request, policy), 'RECORD_PATH');
    expectRefusal(
      () => verifyAnchorResponse({ ...response, recordPath: [] }, request, policy),
      'RECORD_PATH',
    );
    const unsigned = { ...response, checkpoint: new TestLog(CLUSTER, 2).checkpoint(0) };
    expectRefusal(() => verifyAnchorResponse(unsigned, request, policy), 'LOG_INDEX_OUT_OF_RANGE');
    const impostor = new TestLog(CLUSTER, 2);
    impostor.entries.push(...log.entries);
    expectRefusal(
      () => verifyAnchorResponse({ ...response, checkpoint: impostor.checkpoint() }, request, policy),
      'UNKNOWN_KEY',
    );
  });

  test('a log that does not extend the one that was known is refused', () => {
    expectRefusal(
      () => verifyAnchorResponse({ ...response, consistencyPath: [] }, request, policy),
      'CONSISTENCY_PATH',
    );
    const forked = new TestLog(CLUSTER, 1);
    for (let size = 1; size <= 3; size++) forked.append(leavesOf(size, 'rewritten'));
    const known = verifyCheckpoint(forked.checkpoint(), policy);
    expectRefusal(() => verifyAnchorResponse(response, { ...request, known }, policy), 'CONSISTENCY_PATH');
    for (let size = 4; size <= 9; size++) forked.append(leavesOf(size, 'longer'));
    const longer = verifyCheckpoint(forked.checkpoint(), policy);
    expectRefusal(() => verifyAnchorResponse(response, { ...request, known: longer }, policy), 'SIZE_SHRANK');
    const { known: _, ...unknowing } = request;
    expectRefusal(() => verifyAnchorResponse(response, unknowing, policy), 'CONSISTENCY_PATH');
  });

  test('leaf indices that are not the positions are refused', () => {
    const positions = [...leaves.keys()];
    for (const leafIndices of [
      [0],
      positions.toReversed(),
      [...positions, 9],
      positions.map((i) => i + 1),
      Array<number>(9),
    ]) {
      expectRefusal(
        () => verifyAnchorResponse({ ...response, leafIndices }, request, policy),
        'LEAF_INDEX_MISMATCH',
      );
    }
    expectRefusal(
      () => verifyAnchorResponse({ ...response, leafCount: 8 }, request, policy),
      'LEAF_COUNT_MISMATCH',
    );
    expectRefusal(
      () => verifyAnchorResponse({ ...response, anchorId: CLUSTER }, request, policy),
      'ANCHOR_MISMATCH',
    );
  });

  test.each([
    ['anchorId', 5],
    ['leafCount', -1],
    ['leafIndices', undefined],
    ['record', '{}'],
    ['logIndex', 2 ** 53],
    ['logIndex', 3n],
    ['checkpoint', new Uint8Array()],
    ['recordPath', [new Uint8Array(33)]],
    ['consistencyPath', Array(3)],
    ['consistencyPath', Array(65).fill(new Uint8Array(32))],
  ])('an answer whose %s is malformed is refused', (field, value) => {
    const hostile = { ...response, [field]: value } as AnchorResponse;
    expectRefusal(() => verifyAnchorResponse(hostile, request, policy), 'BAD_RESPONSE');
  });

  test('a malformed request is refused before anything is read', () => {
    for (const bad of [
      { clusterId: 'x' },
      { requestId: 'x' },
      { packedLeaves: new Uint8Array() },
      { packedLeaves: new Uint8Array(33) },
    ]) {
      expectRefusal(() => verifyAnchorResponse(response, { ...request, ...bad }, policy), 'BAD_EXPECTED');
    }
    expectRefusal(() => verifyAnchorResponse(response, request, { logKeys: [] }), 'BAD_POLICY');
  });
});
