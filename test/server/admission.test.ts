import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { CreateAnchorRequestSchema } from '#gen/quartermaster/v1/notary_pb.js';
import type { Submission } from '../../src/notary/service.ts';
import type { ServerLimits } from '../../src/server/index.ts';
import { RequestError } from '../../src/server/index.ts';
import { failure, leaves, startEdge, until } from './edge.ts';
import { anchorAnswer, CLUSTER } from './fake-notary.ts';
import { CREATE_ANCHOR, frame, RawConnection } from './raw-grpc.ts';

/** More than what is read of every message at once. */
const BIG = frame(
  toBinary(
    CreateAnchorRequestSchema,
    create(CreateAnchorRequestSchema, { clusterId: CLUSTER, packedLeaves: new Uint8Array(32 * 10_000) }),
  ),
);
const SMALL = { clusterId: CLUSTER, leaves: leaves(1) };

const start = (limits: Partial<ServerLimits>) => startEdge({}, { limits });

/** Begins a message and never ends it. */
function beginSlowly(connection: RawConnection, bytes = BIG.subarray(0, 70_000)) {
  const call = connection.open(CREATE_ANCHOR);
  call.stream.write(bytes);
  return call;
}

describe('slow senders', () => {
  test('of big messages keep neither small ones nor other connections waiting', async () => {
    const edge = await start({ concurrentReads: 2, readsPerConnection: 1 });
    const hostile = new RawConnection(edge.port);
    const honest = new RawConnection(edge.port);
    const slow = Array.from({ length: 50 }, () => beginSlowly(hostile));
    const answer = await honest.call(CREATE_ANCHOR, BIG);
    expect(answer.code).toBe('OK');
    // On the very connection of the slow ones, as behind a proxy.
    const small = frame(toBinary(CreateAnchorRequestSchema, create(CreateAnchorRequestSchema, SMALL)));
    expect((await hostile.call(CREATE_ANCHOR, small)).code).toBe('OK');
    for (const { stream } of slow) stream.close();
    hostile.close();
    honest.close();
    await edge.stop();
  });

  // Seen red with `checkTimes` doing nothing: the honest caller waits for ever.
  test('that fill all places lose them to somebody who waits, once their time is over', async () => {
    const edge = await start({ concurrentReads: 2, readsPerConnection: 1, readTimeoutMs: 50 });
    const connections = Array.from({ length: 3 }, () => new RawConnection(edge.port));
    const slow = connections.slice(0, 2).map((connection) => beginSlowly(connection));
    await edge.notary.createAnchor(SMALL);
    const honest = await connections[2]!.call(CREATE_ANCHOR, BIG);
    expect(honest.code).toBe('OK');
    const evicted = await Promise.race(slow.map(({ answer }) => answer));
    expect(evicted.code).toBe('RESOURCE_EXHAUSTED');
    expect(evicted.message).toContain('too slowly');
    for (const connection of connections) connection.close();
    await edge.stop();
  });

  test('that nobody is kept waiting by may take longer than the read timeout', async () => {
    const edge = await start({ readTimeoutMs: 1 });
    const connection = new RawConnection(edge.port);
    const call = beginSlowly(connection);
    // Much longer than a millisecond: many calls of others come and go.
    for (let round = 0; round < 50; round += 1) await edge.notary.createAnchor(SMALL);
    call.stream.end(BIG.subarray(70_000));
    expect((await call.answer).code).toBe('OK');
    connection.close();
    await edge.stop();
  });

  test('that go away leave their places', async () => {
    const edge = await start({ concurrentReads: 1, readsPerConnection: 1 });
    for (let round = 0; round < 5; round += 1) {
      const connection = new RawConnection(edge.port);
      beginSlowly(connection);
      await edge.notary.createAnchor(SMALL);
      connection.close();
    }
    const connection = new RawConnection(edge.port);
    expect((await connection.call(CREATE_ANCHOR, BIG)).code).toBe('OK');
    connection.close();
    await edge.stop();
  });

  test('do not hold more than their places: what a held sender sends stays in its own window', async () => {
    const edge = await start({ concurrentReads: 1, readsPerConnection: 1 });
    const first = new RawConnection(edge.port);
    const second = new RawConnection(edge.port);
    const slow = beginSlowly(first);
    await edge.notary.createAnchor(SMALL);
    const held = second.open(CREATE_ANCHOR);
    let sent = false;
    held.stream.end(BIG, () => {
      sent = true;
    });
    for (let round = 0; round < 20; round += 1) await edge.notary.createAnchor(SMALL);
    expect(sent).toBe(false);
    slow.stream.end(BIG.subarray(70_000));
    expect((await slow.answer).code).toBe('OK');
    expect((await held.answer).code).toBe('OK');
    first.close();
    second.close();
    await edge.stop();
  });
});

describe('the memory budget', () => {
  const batch = (count: number) => ({ clusterId: CLUSTER, packedLeaves: new Uint8Array(32 * count) });

  // Seen red when only big messages could be ended: half-sent small ones kept everybody out for as long as they stayed.
  test('is taken back from small messages that do not come to their end in time', async () => {
    const edge = await startEdge({}, { limits: { memoryBudgetBytes: 1 << 20, readTimeoutMs: 1_000 } });
    const connections = Array.from({ length: 4 }, () => new RawConnection(edge.port));
    // The last ones find no memory themselves, which makes it certain that the others have filled it.
    const half = frame(new Uint8Array(60_000), false, 65_000);
    const slow = connections.flatMap((connection) =>
      Array.from({ length: 6 }, () => beginSlowly(connection, half)),
    );
    const refused = await Promise.race(slow.map(({ answer }) => answer));
    expect(refused.details).toMatchObject({ reason: 'MEMORY_BUDGET_FULL' });
    const ended = slow.map(({ answer }) => answer.then(({ message }) => message));
    let answer: unknown;
    while (answer === undefined) answer = await edge.notary.createAnchor(batch(1_900)).catch(() => undefined);
    for (const connection of connections) connection.close();
    expect((await Promise.all(ended)).some((message) => message.includes('too slowly'))).toBe(true);
    await edge.stop();
  });

  function heldNotary() {
    const waiting: (() => void)[] = [];
    const createAnchor = async (submission: Submission) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      return anchorAnswer(submission);
    };
    return { createAnchor, waiting };
  }

  test('refuses what does not fit beside calls in flight, with RetryInfo, and takes it once they have ended', async () => {
    const { createAnchor, waiting } = heldNotary();
    const edge = await startEdge({ createAnchor }, { limits: { memoryBudgetBytes: 100_000 } });
    const first = edge.notary.createAnchor(batch(3_000));
    await until(() => waiting.length === 1);
    const refused = await failure(edge.notary.createAnchor(batch(200)));
    expect(refused.code).toBe('RESOURCE_EXHAUSTED');
    expect(refused.details).toMatchObject({ reason: 'MEMORY_BUDGET_FULL', retryDelayMs: 1_000 });
    waiting.shift()?.();
    await first;
    const again = edge.notary.createAnchor(batch(200));
    await until(() => waiting.length === 1);
    waiting.shift()?.();
    await again;
    await edge.stop();
  });

  test('counts a big message while it comes, not when it is announced', async () => {
    const edge = await start({ memoryBudgetBytes: 400_000 });
    // Announces 39 MB and sends next to nothing: small ones still have all of the budget.
    const hostile = new RawConnection(edge.port);
    beginSlowly(hostile, frame(Buffer.alloc(10), false, 39_000_000));
    for (let round = 0; round < 6; round += 1) await edge.notary.createAnchor(batch(2_000));
    hostile.close();
    const alone = new RawConnection(edge.port);
    const cutOff = await beginSlowly(alone, frame(Buffer.alloc(2_000_000), false, 39_000_000)).answer;
    expect(cutOff.code).toBe('RESOURCE_EXHAUSTED');
    await edge.notary.createAnchor(batch(10_000));
    alone.close();
    await edge.stop();
  });

  // Seen red with #lacksMemoryFor answering false: the second was refused in the middle of its message, or the first was.
  test('lets a big message begin only once there is room for all of it', async () => {
    const { createAnchor, waiting } = heldNotary();
    const edge = await startEdge({ createAnchor }, { limits: { memoryBudgetBytes: 500_000 } });
    const connections = Array.from({ length: 3 }, () => new RawConnection(edge.port));
    const calls = connections.map((connection) => connection.call(CREATE_ANCHOR, BIG));
    for (let ended = 0; ended < calls.length; ended += 1) {
      await until(() => waiting.length === 1);
      waiting.shift()?.();
    }
    expect((await Promise.all(calls)).map(({ code }) => code)).toEqual(['OK', 'OK', 'OK']);
    for (const connection of connections) connection.close();
    await edge.stop();
  });

  test('refuses a big message, with RetryInfo, that found no room for as long as a sender may take', async () => {
    const { createAnchor, waiting } = heldNotary();
    const limits = { memoryBudgetBytes: 500_000, readTimeoutMs: 500 };
    const edge = await startEdge({ createAnchor }, { limits });
    const connections = Array.from({ length: 2 }, () => new RawConnection(edge.port));
    const first = connections[0]!.call(CREATE_ANCHOR, BIG);
    await until(() => waiting.length === 1);
    const refused = await connections[1]!.call(CREATE_ANCHOR, BIG);
    expect(refused).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      details: { reason: 'MEMORY_BUDGET_FULL', retryDelayMs: 1_000 },
    });
    waiting.shift()?.();
    expect((await first).code).toBe('OK');
    for (const connection of connections) connection.close();
    await edge.stop();
  });

  // Seen red when a sender's time ended with its message: without the end of the call nothing is done with it, for ever.
  test('is taken back from messages of calls that are never ended', async () => {
    const edge = await start({ memoryBudgetBytes: 700_000, readTimeoutMs: 1_500 });
    const connections = Array.from({ length: 3 }, () => new RawConnection(edge.port));
    const slow = connections.slice(1).map((connection) => beginSlowly(connection, BIG));
    // By the end of the first the others have come.
    await connections[0]!.call(CREATE_ANCHOR, BIG);
    for (let round = 0; round < 20; round += 1) await edge.notary.getCheckpoint({ clusterId: CLUSTER });
    const again = await connections[0]!.call(CREATE_ANCHOR, BIG);
    const evicted = await Promise.race([
      ...slow.map(({ answer }) => answer),
      delay(5_000, undefined, { ref: false }),
    ]);
    for (const connection of connections) connection.close();
    await edge.stop();
    expect(again.code).toBe('OK');
    expect(evicted).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
  });

  // Seen red with a compressed message counted at its compressed size: all eight were decompressed at once.
  test('counts a compressed message as what it may become, before it is decompressed', async () => {
    const edge = await start({ memoryBudgetBytes: 1_000_000 });
    const connection = new RawConnection(edge.port);
    const bomb = frame(gzipSync(BIG.subarray(5)), true);
    const calls = Array.from({ length: 8 }, () =>
      connection.call(CREATE_ANCHOR, bomb, { 'grpc-encoding': 'gzip' }),
    );
    const codes = (await Promise.all(calls)).map(({ code }) => code);
    connection.close();
    await edge.stop();
    expect(codes).toContain('OK');
    expect(codes).toContain('RESOURCE_EXHAUSTED');
  });

  // Seen red with nothing released at the end of a call.
  test('is whole again after calls of every end', async () => {
    const edge = await start({ memoryBudgetBytes: 330_000, concurrentReads: 2 });
    const connection = new RawConnection(edge.port);
    for (let round = 0; round < 10; round += 1) {
      await edge.notary.createAnchor(batch(10_000));
      await failure(edge.notary.createAnchor({ ...batch(10_000), clusterId: 'x' }));
      await connection.call(CREATE_ANCHOR, frame(Buffer.alloc(100_000, 0xff)));
      await connection.call(CREATE_ANCHOR, BIG.subarray(0, 100_000));
      const cancelled = beginSlowly(connection);
      await edge.notary.getCheckpoint({ clusterId: CLUSTER });
      cancelled.stream.close();
      await cancelled.answer;
    }
    connection.close();
    await edge.stop();
  });

  // Seen red with the release at the end of the call, whoever still works on it.
  test('holds a cancelled request until the notary has let go of it', async () => {
    const { createAnchor, waiting } = heldNotary();
    const edge = await startEdge({ createAnchor }, { limits: { memoryBudgetBytes: 100_000 } });
    const cancel = new AbortController();
    const first = failure(edge.notary.createAnchor(batch(3_000), { signal: cancel.signal }));
    await until(() => waiting.length === 1);
    cancel.abort();
    await first;
    await until(() => edge.fake.submissions[0]!.signal.aborted);
    expect((await failure(edge.notary.createAnchor(batch(200)))).code).toBe('RESOURCE_EXHAUSTED');
    waiting.shift()?.();
    edge.fake.override({ createAnchor: async (submission) => anchorAnswer(submission) });
    await edge.notary.createAnchor(batch(3_000));
    await edge.stop();
  });
});

describe('authentication', () => {
  test('names the submitter, from what the caller shows before any message is read', async () => {
    const edge = await startEdge(
      {},
      { authenticate: async ({ path }) => ({ submitter: `gateway of ${path}` }) },
    );
    await edge.notary.createAnchor(SMALL);
    expect(edge.fake.submissions[0]?.submitter).toBe(`gateway of ${CREATE_ANCHOR}`);
    await edge.stop();
  });

  test('refuses whom it does not know, without reading a message', async () => {
    const edge = await startEdge(
      {},
      {
        authenticate: () => {
          throw new RequestError('UNAUTHENTICATED', 'no credentials');
        },
      },
    );
    const raw = new RawConnection(edge.port);
    expect(await beginSlowly(raw).answer).toMatchObject({
      code: 'UNAUTHENTICATED',
      message: 'no credentials',
    });
    expect(edge.fake.submissions).toHaveLength(0);
    raw.close();
    await edge.stop();
  });
});

describe('deadlines', () => {
  test('a read without one is answered after the limit of the server', async () => {
    const edge = await startEdge(
      { getCheckpoint: () => new Promise(() => {}) },
      { limits: { readDeadlineMs: 20 } },
    );
    const failed = await failure(edge.notary.getCheckpoint({ clusterId: CLUSTER }));
    expect(failed).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(failed.message).toContain('20 ms');
    await edge.stop();
  });

  test('a CreateAnchor without one waits longer than any read', async () => {
    const edge = await startEdge(
      {
        createAnchor: async (submission) => {
          await failure(edge.notary.getCheckpoint({ clusterId: CLUSTER }));
          return anchorAnswer(submission);
        },
        getCheckpoint: () => new Promise(() => {}),
      },
      { limits: { readDeadlineMs: 20 } },
    );
    expect((await edge.notary.createAnchor(SMALL)).leafCount).toBe(1);
    await edge.stop();
  });

  test.each(['deadline', 'cancellation'])('the %s of a caller reaches the notary', async (kind) => {
    const edge = await startEdge({
      createAnchor: ({ signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    });
    const controller = new AbortController();
    const call = failure(
      edge.notary.createAnchor(
        SMALL,
        kind === 'deadline' ? { timeoutMs: 100 } : { signal: controller.signal },
      ),
    );
    await until(() => edge.fake.submissions.length === 1);
    controller.abort();
    const code = kind === 'deadline' ? 'DEADLINE_EXCEEDED' : 'CANCELLED';
    expect((await call).code).toBe(code);
    const line = await edge.log.find(({ method }) => method === 'CreateAnchor');
    expect(line.code).toBe(code);
    expect(edge.fake.submissions[0]?.signal.reason).toMatchObject({ code: 'CANCELLED' });
    await edge.stop();
  });
});
