import { Metadata, status } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';
import { type Judgement, judge } from '../../src/gateway/refusal.ts';
import { encodeStatusDetails, STATUS_DETAILS, type StatusDetails } from '../../src/rpc/status-details.ts';
import { failure, startEdge } from '../server/edge.ts';

/** What a call rejects with where the server answered with this status. */
function failed(code: status, details?: Partial<StatusDetails>, message = 'it says why'): Error {
  const metadata = new Metadata();
  if (details !== undefined) {
    const all = {
      reason: '',
      domain: 'quartermaster.dev',
      violations: [],
      retryDelayMs: undefined,
      ...details,
    };
    metadata.set(STATUS_DETAILS, Buffer.from(encodeStatusDetails(code, message, all)));
  }
  const error = new Error(`${code} ${status[code]}: ${message}`);
  return Object.assign(error, { code, details: message, metadata });
}

const violating = (...fields: string[]) => ({
  reason: 'INVALID_ARGUMENT',
  violations: fields.map((field) => ({ field, description: 'wrong' })),
});

const retry = (code: status, isDown: boolean, delayMs?: number): Judgement => ({
  kind: 'retry',
  delayMs,
  isDown,
  status: status[code],
  message: 'it says why',
});
const refused = (code: status, whole: boolean, reason = '', isAboutLeaves = false): Judgement => ({
  kind: 'refused',
  whole,
  isAboutLeaves,
  refusal: { status: status[code], reason, message: 'it says why' },
});
const tooBig = (reason = ''): Judgement => ({
  kind: 'too-big',
  refusal: { status: 'RESOURCE_EXHAUSTED', reason, message: 'it says why' },
});
const knownCheckpointRefused: Judgement = {
  kind: 'known-checkpoint-refused',
  status: 'INVALID_ARGUMENT',
  message: 'it says why',
};

type Row = readonly [status: status, details: Partial<StatusDetails> | undefined, judgement: Judgement];

/** Every status but OK, as a notary answers it and as it comes from a proxy or a library, without details. */
const TABLE: readonly Row[] = [
  [status.CANCELLED, undefined, retry(status.CANCELLED, true)],
  [status.CANCELLED, { reason: 'CANCELLED' }, retry(status.CANCELLED, true)],
  [status.UNKNOWN, undefined, retry(status.UNKNOWN, true)],
  [status.UNKNOWN, { reason: 'X' }, retry(status.UNKNOWN, false)],
  [status.INVALID_ARGUMENT, undefined, refused(status.INVALID_ARGUMENT, false)],
  [
    status.INVALID_ARGUMENT,
    { reason: 'MALFORMED_MESSAGE' },
    refused(status.INVALID_ARGUMENT, false, 'MALFORMED_MESSAGE'),
  ],
  [
    status.INVALID_ARGUMENT,
    violating('leaves[7]'),
    refused(status.INVALID_ARGUMENT, false, 'INVALID_ARGUMENT', true),
  ],
  [
    status.INVALID_ARGUMENT,
    violating('packed_leaves'),
    refused(status.INVALID_ARGUMENT, false, 'INVALID_ARGUMENT', true),
  ],
  [
    status.INVALID_ARGUMENT,
    violating('etcd_revision', 'leaves'),
    refused(status.INVALID_ARGUMENT, false, 'INVALID_ARGUMENT', true),
  ],
  [
    status.INVALID_ARGUMENT,
    violating('cluster_id'),
    refused(status.INVALID_ARGUMENT, true, 'INVALID_ARGUMENT'),
  ],
  [
    status.INVALID_ARGUMENT,
    { ...violating('leaves[7]'), domain: 'example.org' },
    refused(status.INVALID_ARGUMENT, false, 'INVALID_ARGUMENT'),
  ],
  [status.INVALID_ARGUMENT, violating('known_checkpoint'), knownCheckpointRefused],
  [status.INVALID_ARGUMENT, violating('known_checkpoint', 'known_checkpoint'), knownCheckpointRefused],
  [
    status.INVALID_ARGUMENT,
    violating('known_checkpoint', 'leaves[0]'),
    refused(status.INVALID_ARGUMENT, false, 'INVALID_ARGUMENT', true),
  ],
  [status.DEADLINE_EXCEEDED, undefined, retry(status.DEADLINE_EXCEEDED, true)],
  [status.DEADLINE_EXCEEDED, { reason: 'DEADLINE_EXCEEDED' }, retry(status.DEADLINE_EXCEEDED, true)],
  [status.NOT_FOUND, undefined, refused(status.NOT_FOUND, false)],
  [status.NOT_FOUND, { reason: 'CLUSTER_NOT_FOUND' }, refused(status.NOT_FOUND, true, 'CLUSTER_NOT_FOUND')],
  [
    status.NOT_FOUND,
    { reason: 'CLUSTER_NOT_FOUND', domain: 'example.org' },
    refused(status.NOT_FOUND, false, 'CLUSTER_NOT_FOUND'),
  ],
  [status.ALREADY_EXISTS, undefined, refused(status.ALREADY_EXISTS, true)],
  [
    status.ALREADY_EXISTS,
    { reason: 'REQUEST_ID_REUSED' },
    refused(status.ALREADY_EXISTS, true, 'REQUEST_ID_REUSED'),
  ],
  [status.PERMISSION_DENIED, undefined, refused(status.PERMISSION_DENIED, false)],
  [
    status.PERMISSION_DENIED,
    { reason: 'PERMISSION_DENIED' },
    refused(status.PERMISSION_DENIED, true, 'PERMISSION_DENIED'),
  ],
  [status.RESOURCE_EXHAUSTED, undefined, tooBig()],
  [status.RESOURCE_EXHAUSTED, { reason: 'TOO_MANY_LEAVES' }, tooBig('TOO_MANY_LEAVES')],
  [status.RESOURCE_EXHAUSTED, { reason: 'MESSAGE_TOO_LARGE' }, tooBig('MESSAGE_TOO_LARGE')],
  [
    status.RESOURCE_EXHAUSTED,
    { reason: 'QUEUE_FULL', retryDelayMs: 1_000 },
    retry(status.RESOURCE_EXHAUSTED, false, 1_000),
  ],
  [
    status.RESOURCE_EXHAUSTED,
    { reason: '', domain: 'example.org', retryDelayMs: 0 },
    retry(status.RESOURCE_EXHAUSTED, false, 0),
  ],
  [status.FAILED_PRECONDITION, undefined, retry(status.FAILED_PRECONDITION, false)],
  [status.FAILED_PRECONDITION, { reason: 'CLUSTER_FROZEN' }, retry(status.FAILED_PRECONDITION, false)],
  [status.FAILED_PRECONDITION, { reason: 'CLUSTER_SEALED' }, retry(status.FAILED_PRECONDITION, false)],
  [status.FAILED_PRECONDITION, { reason: 'SIGNING_KEY_MISMATCH' }, retry(status.FAILED_PRECONDITION, false)],
  [status.ABORTED, undefined, retry(status.ABORTED, false)],
  [status.ABORTED, { reason: 'X', retryDelayMs: 50 }, retry(status.ABORTED, false, 50)],
  [status.OUT_OF_RANGE, undefined, refused(status.OUT_OF_RANGE, false)],
  [status.OUT_OF_RANGE, { reason: 'X' }, refused(status.OUT_OF_RANGE, false, 'X')],
  [status.UNIMPLEMENTED, undefined, retry(status.UNIMPLEMENTED, true)],
  [status.UNIMPLEMENTED, { reason: 'UNEXPECTED_MESSAGE' }, retry(status.UNIMPLEMENTED, true)],
  [status.INTERNAL, undefined, retry(status.INTERNAL, true)],
  [status.INTERNAL, { reason: 'REJECTED_BY_STORAGE' }, retry(status.INTERNAL, false)],
  [status.UNAVAILABLE, undefined, retry(status.UNAVAILABLE, true)],
  [
    status.UNAVAILABLE,
    { reason: 'STORAGE_UNAVAILABLE', retryDelayMs: 1_000 },
    retry(status.UNAVAILABLE, true, 1_000),
  ],
  [
    status.UNAVAILABLE,
    { reason: 'CLUSTER_RECOVERING', retryDelayMs: 30_000 },
    retry(status.UNAVAILABLE, true, 30_000),
  ],
  [
    status.DATA_LOSS,
    undefined,
    { kind: 'data-loss', delayMs: undefined, status: 'DATA_LOSS', message: 'it says why' },
  ],
  [
    status.DATA_LOSS,
    { reason: 'LOG_FORKED', retryDelayMs: 5 },
    { kind: 'data-loss', delayMs: 5, status: 'DATA_LOSS', message: 'it says why' },
  ],
  [status.UNAUTHENTICATED, undefined, retry(status.UNAUTHENTICATED, false)],
  [status.UNAUTHENTICATED, { reason: 'UNAUTHENTICATED' }, retry(status.UNAUTHENTICATED, false)],
];

const describeRow = ([code, details]: Row): string => {
  const parts = [
    status[code],
    details === undefined ? 'without details' : `${details.domain ?? 'of the notary'} ${details.reason}`,
    ...(details?.violations ?? []).map(({ field }) => field),
    ...(details?.retryDelayMs === undefined ? [] : [`RetryInfo ${details.retryDelayMs}`]),
  ];
  return parts.join(' ');
};

// Red when any one row of the switch is moved to another branch.
describe('a status', () => {
  test.each(TABLE.map((row) => [describeRow(row), row] as const))(
    '%s',
    (_name, [code, details, judgement]) => {
      expect(judge(failed(code, details))).toEqual(judgement);
    },
  );

  test('is in the table, whichever it is, with details and without', () => {
    const all = Object.values(status).filter((code) => typeof code === 'number' && code !== status.OK);
    for (const withDetails of [true, false]) {
      const rows = TABLE.filter(([, details]) => (details !== undefined) === withDetails);
      expect(new Set(rows.map(([code]) => code))).toEqual(new Set(all));
    }
  });

  test('that nobody knows yet is tried again', () => {
    expect(judge(failed(99 as status))).toEqual({ ...retry(status.UNKNOWN, false), status: 'UNKNOWN' });
  });
});

describe('what grpc-js says in the place of a notary', () => {
  // Red when SAID_BY_TRANSPORT is not asked: a batch would be buried, or split, because of a proxy or of load.
  test.each([
    [status.PERMISSION_DENIED, 'Received HTTP status code 403'],
    [status.UNAUTHENTICATED, 'Received HTTP status code 401'],
    [status.UNIMPLEMENTED, 'Received HTTP status code 404'],
    [status.INTERNAL, 'Received HTTP status code 400'],
    [status.RESOURCE_EXHAUSTED, 'Bandwidth exhausted or memory limit exceeded'],
    [status.PERMISSION_DENIED, 'Protocol not secure enough'],
  ])('%d "%s" is a bad connection', (code, message) => {
    expect(judge(failed(code, undefined, message))).toEqual({ ...retry(code, true), message });
  });

  test('a proxy that limits the rate is waited for, since smaller batches would be more calls', () => {
    for (const message of [
      'local_rate_limited',
      'rate limit exceeded',
      'Quota exceeded',
      'too many requests',
    ]) {
      const error = failed(status.RESOURCE_EXHAUSTED, undefined, message);
      expect(judge(error)).toEqual({ ...retry(status.RESOURCE_EXHAUSTED, false), message });
    }
    const message = 'grpc: received message larger than max (5000000 vs. 4194304)';
    expect(judge(failed(status.RESOURCE_EXHAUSTED, undefined, message)).kind).toBe('too-big');
  });

  test('a heading without anything below it is left out of the message', () => {
    const error = failed(status.UNAVAILABLE, undefined, 'No connection established. Resolution note: ');
    expect(judge(error)).toMatchObject({ message: 'No connection established.' });
  });
});

describe('what is no status', () => {
  const ours = (message: string) => ({ ...retry(status.INTERNAL, false), message });

  test.each([
    ['an error of this side', new TypeError('x is not a function'), 'x is not a function'],
    ['an error of Node.js', Object.assign(new Error('no space left'), { code: 'ENOSPC' }), 'no space left'],
    ['a text', 'just so', 'just so'],
    ['nothing', undefined, 'it says nothing'],
    ['null', null, 'it says nothing'],
    ['an object that has no text', Object.create(null), 'it says nothing'],
    ['OK', Object.assign(new Error('fine'), { code: 0 }), 'fine'],
    ['a status that is no number', Object.assign(new Error('odd'), { code: Number.NaN }), 'odd'],
  ])('%s is tried again', (_what, error, message) => {
    expect(judge(error)).toEqual(ours(message));
  });
});

describe('what comes from the network', () => {
  test('is bounded: the message, and the wait', () => {
    const long = failed(status.UNAVAILABLE, { retryDelayMs: 1e12 }, 'x'.repeat(5_000));
    expect(judge(long)).toEqual({
      ...retry(status.UNAVAILABLE, true, 3_600_000),
      message: 'x'.repeat(1_024),
    });
    expect(judge(failed(status.UNAVAILABLE, { retryDelayMs: -5 }))).toMatchObject({ delayMs: 0 });
  });

  test('is judged without the details where they cannot be read', () => {
    const error = failed(status.NOT_FOUND, { reason: 'CLUSTER_NOT_FOUND' }) as Error & { metadata: Metadata };
    error.metadata.set(STATUS_DETAILS, Buffer.from('08ff', 'hex'));
    expect(judge(error)).toEqual(refused(status.NOT_FOUND, false));
  });
});

test('what the notary really answers is judged as meant', async () => {
  const edge = await startEdge({}, { limits: { maxLeafCount: 2 } });
  const clusterId = '6f9619ff-8b86-4011-b42d-00c04fc964ff';
  const judged = async (request: Parameters<typeof edge.notary.createAnchor>[0]) => {
    const call = edge.notary.createAnchor(request);
    await failure(call);
    return call.catch(judge);
  };
  try {
    expect(await judged({ clusterId, packedLeaves: new Uint8Array(96) })).toMatchObject({
      kind: 'too-big',
      refusal: { reason: 'TOO_MANY_LEAVES' },
    });
    expect(await judged({ clusterId, packedLeaves: new Uint8Array(33) })).toMatchObject({
      kind: 'refused',
      whole: false,
      isAboutLeaves: true,
    });
    expect(await judged({ clusterId, leaves: [new Uint8Array(31)] })).toMatchObject({
      kind: 'refused',
      whole: false,
      isAboutLeaves: true,
    });
    expect(await judged({ clusterId: 'x', packedLeaves: new Uint8Array(32) })).toMatchObject({
      kind: 'refused',
      whole: true,
      isAboutLeaves: false,
    });
  } finally {
    await edge.stop();
  }
});
