import { afterAll, afterEach, beforeAll, describe, test } from '@jest/globals';
import { leavesNamed } from './careful-caller.ts';
import type { NotaryUnderTest } from './notary-under-test.ts';
import { expectRefusal, invalid, type Refused } from './refusals.ts';
import { startUntouchedLog, type UntouchedLog } from './untouched-log.ts';

const NOWHERE = '00000000-0000-4000-8000-000000000000';
const LEAF = leavesNamed('leaf');

let log: UntouchedLog;
let server: NotaryUnderTest;
beforeAll(async () => {
  log = await startUntouchedLog();
  server = log.server;
});
afterEach(() => log.expectUntouched());
afterAll(() => log.stop());

describe('a cluster_id', () => {
  const calls: [string, (clusterId: string) => Promise<unknown>][] = [
    ['CreateAnchor', (clusterId) => server.notary.createAnchor({ clusterId, packedLeaves: LEAF })],
    ['GetAnchor', (clusterId) => server.notary.getAnchor({ clusterId, anchorId: NOWHERE })],
    ['ListAnchors', (clusterId) => server.notary.listAnchors({ clusterId })],
    ['ListLeaves', (clusterId) => server.notary.listLeaves({ clusterId, anchorId: NOWHERE })],
    ['GetInclusionProof', (clusterId) => server.notary.getInclusionProof({ clusterId, anchorId: NOWHERE })],
    ['GetConsistencyProof', (clusterId) => server.notary.getConsistencyProof({ clusterId })],
    ['GetCheckpoint', (clusterId) => server.notary.getCheckpoint({ clusterId })],
    ['WatchCheckpoints', (clusterId) => firstOf(server.notary.watchCheckpoints({ clusterId }))],
    ['GetLog', (clusterId) => server.notary.getLog({ clusterId })],
    ['GetCluster', (clusterId) => server.registry.getCluster({ clusterId })],
    ['FreezeCluster', (clusterId) => server.registry.freezeCluster({ clusterId, reason: 'a test' })],
    ['ThawCluster', (clusterId) => server.registry.thawCluster({ clusterId, reason: 'a test' })],
  ];
  test.each(calls)('that is malformed is INVALID_ARGUMENT for %s', async (_name, call) => {
    for (const clusterId of ['demo', `${NOWHERE}0`, NOWHERE.replaceAll('-', ''), `{${NOWHERE}}`])
      await expectRefusal(call(clusterId), invalid('cluster_id', /is not a UUID$/));
  });
  test.each(calls)('that names nothing is NOT_FOUND for %s', (_name, call) =>
    expectRefusal(call(NOWHERE), { code: 'NOT_FOUND', reason: 'CLUSTER_NOT_FOUND' }),
  );
});

describe('a read is refused', () => {
  const reference = () => ({ anchorId: log.first.verified.anchorId, leafIndex: 0 });
  const cases: readonly Refused[] = [
    [
      'for a leaf_index that equals leaf_count',
      () => server.notary.getInclusionProof({ ...reference(), leafIndex: 3 }),
      { code: 'OUT_OF_RANGE', reason: 'LEAF_INDEX_OUT_OF_RANGE' },
    ],
    [
      'for one such leaf_index among good ones',
      () =>
        server.notary.batchGetInclusionProofs({
          clusterId: log.caller.clusterId,
          references: [reference(), { ...reference(), leafIndex: 3 }],
        }),
      { code: 'OUT_OF_RANGE', reason: 'LEAF_INDEX_OUT_OF_RANGE' },
    ],
    ...(['getAnchor', 'listLeaves', 'getInclusionProof'] as const).map(
      (method): Refused => [
        `for an unknown anchor by ${method}`,
        () => server.notary[method]({ anchorId: NOWHERE }),
        { code: 'NOT_FOUND', reason: 'ANCHOR_NOT_FOUND' },
      ],
    ),
    [
      'for one unknown anchor among good ones',
      () =>
        server.notary.batchGetInclusionProofs({
          clusterId: log.caller.clusterId,
          references: [reference(), { anchorId: NOWHERE }],
        }),
      { code: 'NOT_FOUND', reason: 'ANCHOR_NOT_FOUND' },
    ],
    [
      'for an anchor of another cluster',
      () =>
        server.notary.getAnchor({ anchorId: log.first.verified.anchorId, clusterId: log.witness.clusterId }),
      { code: 'NOT_FOUND', reason: 'ANCHOR_NOT_FOUND' },
    ],
    [
      'for a proof at a tree_size past the log',
      () => server.notary.getInclusionProof({ ...reference(), treeSize: 1_000_000n }),
      { code: 'OUT_OF_RANGE', reason: 'TREE_SIZE_OUT_OF_RANGE' },
    ],
    [
      'for a proof at a tree_size that no number holds',
      () => server.notary.getInclusionProof({ ...reference(), treeSize: 2n ** 63n - 1n }),
      { code: 'OUT_OF_RANGE', reason: 'TREE_SIZE_OUT_OF_RANGE' },
    ],
    [
      'for a proof at a negative tree_size',
      () => server.notary.getInclusionProof({ ...reference(), treeSize: -1n }),
      invalid('tree_size', /-1 is negative/),
    ],
    [
      'for a checkpoint past the log',
      () => server.notary.getCheckpoint({ clusterId: log.caller.clusterId, treeSize: 1_000_000n }),
      { code: 'OUT_OF_RANGE', reason: 'TREE_SIZE_OUT_OF_RANGE' },
    ],
    [
      'for a consistency proof to a size past the log',
      () =>
        server.notary.getConsistencyProof({
          clusterId: log.caller.clusterId,
          firstSize: 1n,
          secondSize: 1_000_000n,
        }),
      { code: 'OUT_OF_RANGE', reason: 'TREE_SIZE_OUT_OF_RANGE' },
    ],
    [
      'for a consistency proof from a larger size to a smaller one',
      () =>
        server.notary.getConsistencyProof({ clusterId: log.caller.clusterId, firstSize: 1n, secondSize: 0n }),
      invalid('first_size', /^1 is larger than second_size, 0$/),
    ],
  ];
  test.each(cases)('%s', (_name, call, expected) => expectRefusal(call(), expected));

  test('at a size that no commit ended at', async () => {
    const { clusterId } = log.witness;
    const { size, anchorId } = await sizeWithoutHead();
    const expected = { code: 'NOT_FOUND', reason: 'TREE_SIZE_NOT_COMMITTED' };
    await expectRefusal(server.notary.getCheckpoint({ clusterId, treeSize: size }), expected);
    await expectRefusal(server.notary.getInclusionProof({ anchorId, treeSize: size }), expected);
    await expectRefusal(
      server.notary.getConsistencyProof({ clusterId, firstSize: 1n, secondSize: size }),
      expected,
    );
    await expectRefusal(
      server.notary.getConsistencyProof({ clusterId, firstSize: size, secondSize: size + 1n }),
      expected,
    );
  });

  test('at a tree_size that does not reach the anchor', async () => {
    const { verified } = await log.witness.anchor(server, LEAF);
    await expectRefusal(
      server.notary.getInclusionProof({ anchorId: verified.anchorId, treeSize: BigInt(verified.logIndex) }),
      { code: 'OUT_OF_RANGE', reason: 'TREE_SIZE_OUT_OF_RANGE', message: /log_index/ },
    );
  });

  /** Anchors in parallel until some go into one commit: the sizes inside it have no head. */
  async function sizeWithoutHead(): Promise<{ size: bigint; anchorId: string }> {
    for (;;) {
      const anchored = await Promise.all(Array.from({ length: 8 }, () => log.witness.anchor(server, LEAF)));
      const heads = await log.database.storage.listHeads(log.witness.clusterId, undefined, 1000);
      const sizes = new Set(heads.map(({ size }) => size));
      for (const { verified } of anchored) {
        const size = verified.logIndex + 1;
        if (!sizes.has(size) && sizes.has(size + 1))
          return { size: BigInt(size), anchorId: verified.anchorId };
      }
    }
  }
});

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item;
  return undefined;
}
