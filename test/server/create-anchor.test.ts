import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Edge } from './edge.ts';
import { failure, leaves, startEdge } from './edge.ts';
import { anchorAnswer, CLUSTER } from './fake-notary.ts';

const REQUEST_ID = '0190163D-8694-739B-AEA5-966C26F8AD91';

let edge: Edge;
beforeAll(async () => {
  edge = await startEdge({}, { limits: { maxLeafCount: 100_000 } });
});
afterAll(() => edge.stop());

const submitted = () => edge.fake.submissions.at(-1)!;
const submissionCount = () => edge.fake.submissions.length;

describe('CreateAnchor', () => {
  test('hands the batch to the notary as one block, in order, with ids in lower case', async () => {
    const batch = leaves(300);
    await edge.notary.createAnchor({
      clusterId: CLUSTER.toUpperCase(),
      leaves: batch,
      etcdRevision: 2n ** 62n,
      requestId: REQUEST_ID,
      knownCheckpoint: 'origin\n1\nroot\n',
    });
    const { signal, packedLeaves, ...rest } = submitted();
    expect(Buffer.from(packedLeaves).equals(Buffer.concat(batch))).toBe(true);
    expect(signal.aborted).toBe(false);
    expect(rest).toEqual({
      clusterId: CLUSTER,
      etcdRevision: 2n ** 62n,
      requestId: REQUEST_ID.toLowerCase(),
      knownCheckpoint: 'origin\n1\nroot\n',
      submitter: undefined,
    });
  });

  test('translates every field of the answer', async () => {
    const { $typeName, $unknown, ...answer } = await edge.notary.createAnchor({
      clusterId: CLUSTER,
      leaves: leaves(3),
    });
    const { leafCount, logIndex, recordPath, consistencyPath, ...same } = anchorAnswer(submitted());
    expect(answer).toEqual({
      ...same,
      record: Buffer.from(same.record),
      leafCount: 3,
      leafIndices: [0, 1, 2],
      logIndex: 3n,
      recordPath: recordPath.map((hash) => Buffer.from(hash)),
      consistencyPath: [],
    });
  });

  test.each([1, 2, 127, 128, 129, 16_384, 16_385, 70_000, 5])(
    'lists the indices of %i leaves in the order submitted',
    async (count) => {
      const { leafIndices } = await edge.notary.createAnchor({ clusterId: CLUSTER, leaves: leaves(count) });
      expect(leafIndices).toEqual(Array.from({ length: count }, (_, index) => index));
    },
  );

  test('takes packed leaves and lists no indices for them', async () => {
    const packedLeaves = new Uint8Array(Buffer.concat(leaves(4)));
    const answer = await edge.notary.createAnchor({ clusterId: CLUSTER, packedLeaves });
    expect(answer.leafIndices).toEqual([]);
    expect(answer.leafCount).toBe(4);
    expect(Buffer.from(submitted().packedLeaves).equals(packedLeaves)).toBe(true);
  });
});

describe('a bad CreateAnchor is INVALID_ARGUMENT, reaches no notary, and says what is wrong:', () => {
  const good = { clusterId: CLUSTER, leaves: leaves(1) };
  const of = (byteLength: number) => new Uint8Array(byteLength);
  const cases: [string, object, string, string][] = [
    ['cluster_id missing', { ...good, clusterId: '' }, 'cluster_id', 'missing, expected a UUID'],
    [
      'cluster_id of another form',
      { ...good, clusterId: CLUSTER.replaceAll('-', '') },
      'cluster_id',
      `"${CLUSTER.replaceAll('-', '')}" is not a UUID`,
    ],
    [
      'cluster_id in braces',
      { ...good, clusterId: `{${CLUSTER}}` },
      'cluster_id',
      `"{${CLUSTER}}" is not a UUID`,
    ],
    ['request_id that is no UUID', { ...good, requestId: 'again' }, 'request_id', '"again" is not a UUID'],
    ['empty batch', { clusterId: CLUSTER }, 'leaves', 'empty, at least one leaf is needed'],
    ['leaf of 0 bytes', { ...good, leaves: [of(32), of(0)] }, 'leaves[1]', '0 bytes, expected 32'],
    ['leaf of 31 bytes', { ...good, leaves: [...leaves(7), of(31)] }, 'leaves[7]', '31 bytes, expected 32'],
    ['leaf of 33 bytes', { ...good, leaves: [of(33)] }, 'leaves[0]', '33 bytes, expected 32'],
    [
      'both leaf fields',
      { ...good, packedLeaves: of(32) },
      'packed_leaves',
      'given together with leaves: use one of the two fields',
    ],
    [
      'packed leaves of 33 bytes',
      { clusterId: CLUSTER, packedLeaves: of(33) },
      'packed_leaves',
      '33 bytes, expected a multiple of 32',
    ],
    ['negative etcd_revision', { ...good, etcdRevision: -1n }, 'etcd_revision', '-1 is negative'],
    [
      'known_checkpoint above 4 KiB',
      { ...good, knownCheckpoint: 'é'.repeat(2_049) },
      'known_checkpoint',
      '4098 bytes, at most 4096',
    ],
  ];
  test.each(cases)('%s', async (_name, request, field, description) => {
    const before = submissionCount();
    const failed = await failure(edge.notary.createAnchor(request));
    expect(failed).toMatchObject({ code: 'INVALID_ARGUMENT', message: `${field}: ${description}` });
    expect(failed.details).toMatchObject({
      reason: 'INVALID_ARGUMENT',
      domain: 'quartermaster.dev',
      retryDelayMs: undefined,
      violations: [{ field, description }],
    });
    expect(submissionCount()).toBe(before);
  });

  test('10,000 bad leaves at once: eight are named, all are counted, details stay under 4 KiB', async () => {
    const failed = await failure(
      edge.notary.createAnchor({ clusterId: CLUSTER, leaves: Array.from({ length: 10_000 }, () => of(31)) }),
    );
    expect(failed.code).toBe('INVALID_ARGUMENT');
    expect(failed.message).toBe('leaves[0]: 31 bytes, expected 32 (and 9999 more)');
    expect(failed.details?.violations).toHaveLength(8);
    expect(failed.detailsBytes).toBeLessThanOrEqual(4096);
  });

  test('everything wrong at once: each field is named', async () => {
    const failed = await failure(
      edge.notary.createAnchor({ clusterId: 'x', requestId: 'y', etcdRevision: -5n, packedLeaves: of(5) }),
    );
    expect(failed.details?.violations.map(({ field }) => field)).toEqual([
      'cluster_id',
      'packed_leaves',
      'etcd_revision',
      'request_id',
    ]);
  });

  test('what the caller sent is quoted short and in ASCII', async () => {
    const failed = await failure(
      edge.notary.createAnchor({ ...good, clusterId: `ü\u0000\n😀${'x'.repeat(50_000)}` }),
    );
    expect(failed.message).toMatch(/^cluster_id: "\?{5}x+\.\.\." \(50005 characters\) is not a UUID$/);
    expect(failed.message.length).toBeLessThan(200);
  });
});

describe('a batch over the limit', () => {
  test.each([
    ['leaves', { leaves: leaves(100_001) }],
    ['packed_leaves', { packedLeaves: new Uint8Array(32 * 100_001) }],
  ])('in %s is RESOURCE_EXHAUSTED without RetryInfo, and the advice to split', async (_name, batch) => {
    const failed = await failure(edge.notary.createAnchor({ clusterId: CLUSTER, ...batch }));
    expect(failed.code).toBe('RESOURCE_EXHAUSTED');
    expect(failed.message).toContain('more than 100000 leaves');
    expect(failed.message).toContain('split');
    expect(failed.details).toMatchObject({ reason: 'TOO_MANY_LEAVES', retryDelayMs: undefined });
  });

  test('of exactly the limit is taken', async () => {
    const answer = await edge.notary.createAnchor({ clusterId: CLUSTER, leaves: leaves(100_000) });
    expect(answer.leafCount).toBe(100_000);
  });
});
