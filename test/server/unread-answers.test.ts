import { create, toBinary } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { GetCheckpointRequestSchema } from '#gen/quartermaster/v1/notary_pb.js';
import type { Edge } from './edge.ts';
import { failure, leaves, startEdge, until } from './edge.ts';
import { CLUSTER } from './fake-notary.ts';
import { frame, GET_CHECKPOINT, RawConnection } from './raw-grpc.ts';

const ANSWER_BYTES = 100_000;
const QUESTION = { clusterId: CLUSTER };
const ASK = frame(toBinary(GetCheckpointRequestSchema, create(GetCheckpointRequestSchema, QUESTION)));

let edge: Edge;
let raw: RawConnection;

async function start(readTimeoutMs: number): Promise<void> {
  edge = await startEdge(
    { getCheckpoint: async () => 'c'.repeat(ANSWER_BYTES) },
    { limits: { memoryBudgetBytes: 3 * ANSWER_BYTES, readTimeoutMs } },
  );
  // With a window of nothing: the answers stay where they are.
  raw = new RawConnection(edge.port, { initialWindowSize: 0 });
}

async function leaveUnread(count: number) {
  const calls = Array.from({ length: count }, () => raw.open(GET_CHECKPOINT));
  for (const { stream } of calls) stream.end(ASK);
  await until(() => edge.fake.asked.length >= count);
  return calls;
}

beforeEach(() => start(60_000));
afterEach(async () => {
  raw.close();
  await edge.stop();
});

describe('big answers that nobody reads', () => {
  // Seen red with nothing charged for answers: any number of them is kept.
  test('fill the memory budget, and no more of them are kept', async () => {
    const calls = await leaveUnread(3);
    const refused = await failure(edge.notary.getCheckpoint(QUESTION));
    expect(refused.details).toMatchObject({ reason: 'MEMORY_BUDGET_FULL', retryDelayMs: 1_000 });
    for (const { stream } of calls) stream.close();
    await Promise.all(calls.map(({ answer }) => answer));
    expect((await edge.notary.getCheckpoint(QUESTION)).checkpoint).toHaveLength(ANSWER_BYTES);
  });

  // Seen red with `evictOverdue` of UnreadAnswers answering false.
  test('are given up once their time is over and a call needs the memory', async () => {
    raw.close();
    await edge.stop();
    await start(1);
    const calls = await leaveUnread(3);
    const startedAtMs = performance.now();
    await until(() => performance.now() > startedAtMs + 2);
    expect((await edge.notary.createAnchor({ clusterId: CLUSTER, leaves: leaves(1) })).leafCount).toBe(1);
    expect((await calls[0]!.answer).code).not.toBe('OK');
    // Seen red when giving up went unsaid: the broken write was logged as an error of the server's.
    const logged = edge.log.lines.filter(({ method }) => method === 'GetCheckpoint').map(({ code }) => code);
    expect(logged).toContain('RESOURCE_EXHAUSTED');
    expect(logged).not.toContain('INTERNAL');
  });
});

// Seen red with nothing released once an answer is read: the fourth is refused.
test('answers that are read leave the budget whole', async () => {
  for (let round = 0; round < 20; round += 1) {
    expect((await edge.notary.getCheckpoint(QUESTION)).checkpoint).toHaveLength(ANSWER_BYTES);
  }
});
