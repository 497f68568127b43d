import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Edge } from './edge.ts';
import { failure, startEdge } from './edge.ts';
import { ANCHOR, CLUSTER, CREATED_AT_MS, entry } from './fake-notary.ts';

let edge: Edge;
beforeAll(async () => {
  edge = await startEdge();
});
afterAll(() => edge.stop());

const asked = () => edge.fake.asked.at(-1)!;
const OTHER = '00000000-0000-0000-0000-000000000000';

describe('an Anchor', () => {
  test('is a reading of its record', async () => {
    const { anchor } = await edge.notary.getAnchor({ anchorId: ANCHOR.toUpperCase(), clusterId: '' });
    expect(asked()).toEqual(['getAnchor', ANCHOR, undefined]);
    expect(anchor).toMatchObject({
      anchorId: ANCHOR,
      clusterId: CLUSTER,
      logIndex: 0n,
      leafCount: 4,
      root: Buffer.alloc(32, 9),
      etcdRevision: 17n,
      requestId: '',
      submitter: '',
      createTime: timestampFromMs(CREATED_AT_MS),
      record: Buffer.from(entry(0).record),
    });
  });

  test('whose stored bytes are no record is DATA_LOSS', async () => {
    const damaged = await startEdge({
      getAnchor: async () => ({ ...entry(3), record: new TextEncoder().encode('{"type":1}') }),
    });
    const failed = await failure(damaged.notary.getAnchor({ anchorId: ANCHOR }));
    expect(failed).toMatchObject({
      code: 'DATA_LOSS',
      message: `entry 3 of cluster ${CLUSTER} is not a record`,
    });
    await damaged.stop();
  });
});

describe('ListAnchors', () => {
  test('takes times to the millisecond that a record can have, inclusive and exclusive', async () => {
    await edge.notary.listAnchors({
      clusterId: CLUSTER,
      startTime: { seconds: 10n, nanos: 1 },
      endTime: { seconds: -1n, nanos: 500_000_000 },
    });
    expect(asked()).toEqual([
      'listAnchors',
      { clusterId: CLUSTER, fromLogIndex: 0, limit: 100, startMs: 10_001, endMs: -500 },
    ]);
  });

  test('goes on at the token with any page size, and coerces one that is too large', async () => {
    const first = await edge.notary.listAnchors({ clusterId: CLUSTER, pageSize: 1_000_000 });
    expect(asked()[1]).toMatchObject({ fromLogIndex: 0, limit: 1_000 });
    await edge.notary.listAnchors({ clusterId: CLUSTER, pageSize: 7, pageToken: first.nextPageToken });
    expect(asked()[1]).toMatchObject({ fromLogIndex: 1_000, limit: 7 });
  });

  test('ends with an empty token', async () => {
    const list = edge.notary.listAnchors;
    let pages = 1;
    let { nextPageToken } = await list({ clusterId: CLUSTER, pageSize: 1_000 });
    for (; nextPageToken !== ''; pages += 1) {
      ({ nextPageToken } = await list({ clusterId: CLUSTER, pageSize: 1_000, pageToken: nextPageToken }));
    }
    expect(pages).toBe(5);
  });

  test('leaves out entries that are not anchors', async () => {
    const withOther = await startEdge({
      listAnchors: async () => ({
        entries: [
          { ...entry(0), anchorId: undefined, record: new TextEncoder().encode('{"type":"later@v1"}') },
          entry(1),
        ],
        nextLogIndex: undefined,
      }),
    });
    const { anchors } = await withOther.notary.listAnchors({ clusterId: CLUSTER });
    expect(anchors.map(({ logIndex }) => logIndex)).toEqual([1n]);
    await withOther.stop();
  });

  describe('refuses a token', () => {
    const page = (parameters: object) => edge.notary.listAnchors({ clusterId: CLUSTER, ...parameters });
    const token = async () => (await page({ startTime: { seconds: 1n } })).nextPageToken;
    test.each<[string, (token: string) => object]>([
      ['of another cluster', (pageToken) => ({ pageToken, startTime: { seconds: 1n }, clusterId: OTHER })],
      ['of another time range', (pageToken) => ({ pageToken, startTime: { seconds: 2n } })],
      ['of no time range', (pageToken) => ({ pageToken })],
      [
        'with a character changed',
        (pageToken) => ({
          pageToken: `${pageToken[0] === 'A' ? 'B' : 'A'}${pageToken.slice(1)}`,
          startTime: { seconds: 1n },
        }),
      ],
      ['with bytes added', (pageToken) => ({ pageToken: `${pageToken}AAAA`, startTime: { seconds: 1n } })],
      ['with another alphabet', () => ({ pageToken: '///+++==', startTime: { seconds: 1n } })],
      ['of 100 KB', () => ({ pageToken: 'A'.repeat(100_000), startTime: { seconds: 1n } })],
    ])('%s', async (_name, damage) => {
      const failed = await failure(page(damage(await token())));
      expect(failed.code).toBe('INVALID_ARGUMENT');
      expect(failed.details?.violations).toEqual(
        [{ field: 'page_token', description: 'not a token that this list gave for these parameters' }].map(
          (violation) => expect.objectContaining(violation),
        ),
      );
    });
  });
});

describe('ListLeaves', () => {
  test('goes through all leaves, at most 65,536 a page', async () => {
    const firsts: number[] = [];
    let pageToken = '';
    do {
      const page = await edge.notary.listLeaves({ anchorId: ANCHOR, pageToken, pageSize: 2_000_000_000 });
      firsts.push(page.firstLeafIndex);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(firsts).toEqual([0, 65_536, 131_072, 196_608]);
    expect(asked()[1]).toMatchObject({ anchorId: ANCHOR, clusterId: undefined, limit: 65_536 });
  });

  test('refuses the token of another anchor', async () => {
    const { nextPageToken } = await edge.notary.listLeaves({ anchorId: ANCHOR });
    const failed = await failure(edge.notary.listLeaves({ anchorId: OTHER, pageToken: nextPageToken }));
    expect(failed.code).toBe('INVALID_ARGUMENT');
  });
});

test('GetInclusionProof gives the whole receipt', async () => {
  const { receipt } = await edge.notary.getInclusionProof({ anchorId: ANCHOR, leafIndex: 2, treeSize: 9n });
  expect(asked()).toEqual(['getReceipt', { anchorId: ANCHOR, clusterId: undefined, leafIndex: 2 }, 9]);
  expect(receipt).toMatchObject({
    leaf: Buffer.alloc(32, 3),
    leafIndex: 2,
    leafPath: [Buffer.alloc(32, 4)],
    record: Buffer.from(entry(0).record),
    logIndex: 3n,
    recordPath: [Buffer.alloc(32, 6)],
    checkpoint: 'checkpoint\n',
  });
});

test('BatchGetInclusionProofs takes 1,000 references and keeps their order', async () => {
  const references = Array.from({ length: 1_000 }, (_, index) => ({
    anchorId: ANCHOR,
    leafIndex: 999 - index,
  }));
  const { checkpoint, anchors } = await edge.notary.batchGetInclusionProofs({
    clusterId: CLUSTER,
    references,
  });
  expect(checkpoint).toBe('checkpoint\n');
  expect(anchors[0]?.leaves.map(({ leafIndex }) => leafIndex)).toEqual(
    references.map((one) => one.leafIndex),
  );
});

test('GetConsistencyProof takes sizes literally, 0 too', async () => {
  const { consistencyPath } = await edge.notary.getConsistencyProof({ clusterId: CLUSTER, secondSize: 4n });
  expect(asked()).toEqual(['getConsistencyPath', CLUSTER, 0, 4]);
  expect(consistencyPath).toEqual([Buffer.alloc(32, 5)]);
});

test('GetCheckpoint passes the size on', async () => {
  expect((await edge.notary.getCheckpoint({ clusterId: CLUSTER, treeSize: 12n })).checkpoint).toBe(
    'checkpoint\n',
  );
  expect(asked()).toEqual(['getCheckpoint', CLUSTER, 12]);
});

test('GetLog lists keys and tells the limit', async () => {
  const log = await edge.notary.getLog({ clusterId: CLUSTER });
  expect(log).toMatchObject({
    clusterId: CLUSTER,
    origin: `example.com/${CLUSTER}`,
    maxLeafCount: 1_048_576,
  });
  expect(log.keys.map(({ vkey, firstSize, lastSize }) => [vkey, firstSize, lastSize])).toEqual([
    ['first', 0n, 9n],
    ['second', 5n, undefined],
  ]);
});

describe('a bad read is refused before the notary hears of it:', () => {
  const references = (count: number) => Array.from({ length: count }, () => ({ anchorId: ANCHOR }));
  const cases: [string, (edge: Edge) => Promise<unknown>, string, string][] = [
    [
      'anchor_id that is no UUID',
      (e) => e.notary.getAnchor({ anchorId: 'a' }),
      'INVALID_ARGUMENT',
      'anchor_id: "a" is not a UUID',
    ],
    [
      'optional cluster_id that is no UUID',
      (e) => e.notary.getAnchor({ anchorId: ANCHOR, clusterId: 'c' }),
      'INVALID_ARGUMENT',
      'cluster_id: "c" is not a UUID',
    ],
    [
      'negative page_size of anchors',
      (e) => e.notary.listAnchors({ clusterId: CLUSTER, pageSize: -1 }),
      'INVALID_ARGUMENT',
      'page_size: -1 is negative',
    ],
    [
      'negative page_size of leaves',
      (e) => e.notary.listLeaves({ anchorId: ANCHOR, pageSize: -9 }),
      'INVALID_ARGUMENT',
      'page_size: -9 is negative',
    ],
    [
      'time that is none',
      (e) => e.notary.listAnchors({ clusterId: CLUSTER, startTime: { seconds: 0n, nanos: -1 } }),
      'INVALID_ARGUMENT',
      'start_time: not a time from the year 1 to 9999',
    ],
    [
      'negative tree_size',
      (e) => e.notary.getInclusionProof({ anchorId: ANCHOR, treeSize: -1n }),
      'INVALID_ARGUMENT',
      'tree_size: -1 is negative',
    ],
    [
      'tree_size above 2^53',
      (e) => e.notary.getCheckpoint({ clusterId: CLUSTER, treeSize: 2n ** 53n }),
      'OUT_OF_RANGE',
      'tree_size is 9007199254740992, which is past the end of the log',
    ],
    [
      'first_size larger than second_size',
      (e) => e.notary.getConsistencyProof({ clusterId: CLUSTER, firstSize: 2n, secondSize: 1n }),
      'INVALID_ARGUMENT',
      'first_size: 2 is larger than second_size, 1',
    ],
    [
      'negative sizes',
      (e) => e.notary.getConsistencyProof({ clusterId: CLUSTER, firstSize: -2n, secondSize: -1n }),
      'INVALID_ARGUMENT',
      'first_size: -2 is negative (and 1 more)',
    ],
    [
      'no references',
      (e) => e.notary.batchGetInclusionProofs({ clusterId: CLUSTER }),
      'INVALID_ARGUMENT',
      'references: 0 references, expected 1 to 1000',
    ],
    [
      '1,001 references',
      (e) => e.notary.batchGetInclusionProofs({ clusterId: CLUSTER, references: references(1_001) }),
      'INVALID_ARGUMENT',
      'references: 1001 references, expected 1 to 1000',
    ],
    [
      'a bad reference',
      (e) =>
        e.notary.batchGetInclusionProofs({
          clusterId: CLUSTER,
          references: [...references(3), { anchorId: 'b' }],
        }),
      'INVALID_ARGUMENT',
      'references[3].anchor_id: "b" is not a UUID',
    ],
    [
      'watching no cluster',
      async (e) => {
        for await (const _ of e.notary.watchCheckpoints({}));
      },
      'INVALID_ARGUMENT',
      'cluster_id: missing, expected a UUID',
    ],
    [
      'the log of no cluster',
      (e) => e.notary.getLog({}),
      'INVALID_ARGUMENT',
      'cluster_id: missing, expected a UUID',
    ],
  ];
  test.each(cases)('%s', async (_name, call, code, message) => {
    const before = edge.fake.asked.length;
    expect(await failure(call(edge))).toMatchObject({ code, message });
    expect(edge.fake.asked).toHaveLength(before);
  });
});
