import { expect, test } from '@jest/globals';
import { NotaryError } from '../../src/notary/error.ts';
import { failure, startEdge } from './edge.ts';
import { ANCHOR, CLUSTER } from './fake-notary.ts';

const LEAF = new Uint8Array(32).fill(0xab);

test('one line a call: id, method, code, duration, cluster, anchor, leaf count, peer; nothing else', async () => {
  const edge = await startEdge({}, { authenticate: () => ({ submitter: 'bastion-1' }) });
  await edge.notary.createAnchor({
    clusterId: CLUSTER,
    leaves: [LEAF, LEAF],
    knownCheckpoint: 'SECRET NOTE',
  });
  await edge.log.find(({ method }) => method === 'CreateAnchor');
  expect(edge.log.lines).toEqual([
    {
      level: 30,
      time: expect.any(Number),
      requestId: expect.stringMatching(/^[0-9a-f]{12}$/),
      method: 'CreateAnchor',
      code: 'OK',
      durationMs: expect.any(Number),
      cluster: CLUSTER,
      anchor: ANCHOR,
      leafCount: 2,
      submitter: 'bastion-1',
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      msg: 'call',
    },
  ]);
  await edge.stop();
});

test('what callers sent is in no line, however the call ended', async () => {
  const edge = await startEdge();
  const calls = [
    { clusterId: 'SECRET', leaves: [LEAF] },
    { clusterId: CLUSTER, leaves: [LEAF.subarray(1)], requestId: 'SECRET' },
    { clusterId: CLUSTER, leaves: [LEAF], knownCheckpoint: 'SECRET'.repeat(1_000) },
  ];
  for (const call of calls) await failure(edge.notary.createAnchor(call));
  await edge.log.find(() => edge.log.lines.length === calls.length);
  const text = JSON.stringify(edge.log.lines);
  expect(text).not.toContain('SECRET');
  expect(text.toLowerCase()).not.toContain('abababab');
  expect(text).not.toContain('q6urq6ur');
  expect(edge.log.lines.map(({ code }) => code)).toEqual(Array(3).fill('INVALID_ARGUMENT'));
  await edge.stop();
});

test('a fault of the server is logged with its causes, but not with what else a database error carries', async () => {
  const cause = Object.assign(new Error('connection refused'), { code: '08006', detail: 'row (SECRET)' });
  const edge = await startEdge({
    createAnchor: () => Promise.reject(new NotaryError('STORAGE_UNAVAILABLE', 'try again', { cause })),
  });
  await failure(edge.notary.createAnchor({ clusterId: CLUSTER, leaves: [LEAF] }));
  const line = await edge.log.find(({ code }) => code === 'UNAVAILABLE');
  expect(line).toMatchObject({
    level: 40,
    error: {
      type: 'NotaryError',
      code: 'STORAGE_UNAVAILABLE',
      message: 'try again',
      cause: { message: 'connection refused', code: '08006' },
    },
  });
  expect(JSON.stringify(line)).not.toContain('SECRET');
  await edge.stop();
});

test('a caller that goes away is a line too', async () => {
  const edge = await startEdge({ getCheckpoint: () => new Promise(() => {}) });
  const controller = new AbortController();
  const call = failure(edge.notary.getCheckpoint({ clusterId: CLUSTER }, { signal: controller.signal }));
  while (edge.fake.asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
  controller.abort();
  await call;
  const line = await edge.log.find(({ method }) => method === 'GetCheckpoint');
  expect(line).toMatchObject({ code: 'CANCELLED', cluster: CLUSTER });
  await edge.stop();
});
