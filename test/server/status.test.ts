import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { NotaryErrorCode } from '../../src/notary/error.ts';
import { NotaryError } from '../../src/notary/error.ts';
import type { Edge } from './edge.ts';
import { failure, leaves, startEdge } from './edge.ts';
import { CLUSTER } from './fake-notary.ts';

let edge: Edge;
beforeAll(async () => {
  edge = await startEdge();
});
afterAll(() => edge.stop());

const create = () => edge.notary.createAnchor({ clusterId: CLUSTER, leaves: leaves(1) });
function failWith(error: unknown): void {
  edge.fake.override({ createAnchor: () => Promise.reject(error) });
}

/** Each code of the notary, what it becomes, and whether a retry can help. */
const STATUSES: Record<NotaryErrorCode, readonly [code: string, retry: boolean]> = {
  INVALID_ARGUMENT: ['INVALID_ARGUMENT', false],
  CLUSTER_NOT_FOUND: ['NOT_FOUND', false],
  ANCHOR_NOT_FOUND: ['NOT_FOUND', false],
  LEAF_INDEX_OUT_OF_RANGE: ['OUT_OF_RANGE', false],
  TREE_SIZE_OUT_OF_RANGE: ['OUT_OF_RANGE', false],
  TREE_SIZE_NOT_COMMITTED: ['NOT_FOUND', false],
  REQUEST_ID_REUSED: ['ALREADY_EXISTS', false],
  CLUSTER_EXISTS: ['ALREADY_EXISTS', false],
  PREDECESSOR_REFUSED: ['FAILED_PRECONDITION', false],
  CLUSTER_FROZEN: ['FAILED_PRECONDITION', false],
  CLUSTER_SEALED: ['FAILED_PRECONDITION', false],
  CLUSTER_RECOVERING: ['UNAVAILABLE', true],
  THAW_REFUSED: ['FAILED_PRECONDITION', false],
  SIGNING_KEY_MISMATCH: ['FAILED_PRECONDITION', false],
  LOG_ROLLED_BACK: ['DATA_LOSS', false],
  LOG_FORKED: ['DATA_LOSS', false],
  LOG_CORRUPT: ['DATA_LOSS', false],
  QUEUE_FULL: ['RESOURCE_EXHAUSTED', true],
  STORAGE_UNAVAILABLE: ['UNAVAILABLE', true],
  OUTCOME_UNKNOWN: ['UNAVAILABLE', true],
  DRAINING: ['UNAVAILABLE', true],
  CANCELLED: ['CANCELLED', false],
  REJECTED_BY_STORAGE: ['INTERNAL', false],
};

describe('an error of the notary', () => {
  test.each(Object.entries(STATUSES))('%s becomes %s', async (reason, [code, retry]) => {
    failWith(new NotaryError(reason as NotaryErrorCode, `because of ${reason}`));
    const failed = await failure(create());
    expect(failed).toMatchObject({ code, message: `because of ${reason}` });
    expect(failed.details).toMatchObject({ reason, domain: 'quartermaster.dev', violations: [] });
    expect(failed.details?.retryDelayMs !== undefined).toBe(retry);
  });

  test('carries its violations', async () => {
    const violation = { field: 'known_checkpoint', description: 'of another log' };
    failWith(new NotaryError('INVALID_ARGUMENT', 'foreign checkpoint', { violations: [violation] }));
    expect((await failure(create())).details?.violations).toMatchObject([violation]);
  });

  // Seen red without toWellFormed: the process of the server ends.
  test('stays small and well-formed, whatever is in it', async () => {
    // A lone surrogate makes encodeURI throw, on which grpc-js would take the process down.
    const long = `\ud800${'é'.repeat(100_000)}`;
    const violations = Array.from({ length: 1_000 }, () => ({ field: long, description: long }));
    failWith(new NotaryError('INVALID_ARGUMENT', long, { violations }));
    const failed = await failure(create());
    expect(failed.code).toBe('INVALID_ARGUMENT');
    expect(failed.message).toHaveLength(512);
    expect(failed.detailsBytes).toBeGreaterThan(1_000);
    expect(failed.detailsBytes).toBeLessThanOrEqual(4_096);
  });
});

describe('anything else that is thrown', () => {
  test.each([
    ['an Error', new Error('password=hunter2 at 10.0.0.7')],
    [
      'an error that looks like a status',
      Object.assign(new Error('hunter2'), { code: 5, details: 'hunter2' }),
    ],
    ['a string', 'hunter2'],
    ['undefined', undefined],
  ])(
    '%s is INTERNAL with nothing in it but the id under which the log has the rest',
    async (_name, thrown) => {
      failWith(thrown);
      const failed = await failure(create());
      expect(failed.code).toBe('INTERNAL');
      expect(failed.message).toMatch(/^internal error; the server's log has [0-9a-f]{12}$/);
      expect(JSON.stringify(failed)).not.toContain('hunter2');
      const id = failed.message.slice(-12);
      const line = await edge.log.find(({ requestId }) => requestId === id);
      expect(line).toMatchObject({ code: 'INTERNAL', level: 50 });
      if (thrown !== undefined) expect(JSON.stringify(line.error)).toContain('hunter2');
    },
  );

  test('thrown at once, not later, is the same', async () => {
    edge.fake.override({
      createAnchor: () => {
        throw new TypeError('oops');
      },
    });
    expect((await failure(create())).code).toBe('INTERNAL');
  });
});
