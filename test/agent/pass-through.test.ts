import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type CarefulCaller, leavesNamed, receiptOf } from '../integration/careful-caller.ts';
import { OldGateway } from '../integration/old-gateway.ts';
import { failure } from '../server/edge.ts';
import type { AgentProcess } from './agent-process.ts';
import { Arena, eventually } from './arena.ts';

// A notary that is there: calls pass through the real program, and nothing of them changes.

let arena: Arena;
let agent: AgentProcess;
let caller: CarefulCaller;
beforeAll(async () => {
  arena = await Arena.open();
  agent = await arena.startAgent({ environment: { QUARTERMASTER_MAX_MESSAGE_BYTES: '40MiB' } });
  caller = await arena.newCluster();
});
afterAll(() => arena.close());

test('every read is answered as the notary answers it', async () => {
  const { clusterId } = caller;
  const { anchorId } = await agent.notary.createAnchor({ clusterId, packedLeaves: leavesNamed('read', 3) });
  const direct = arena.server.notary;
  const through = agent.notary;
  const both = <T>(ask: (notary: typeof direct) => Promise<T>) => Promise.all([ask(direct), ask(through)]);
  const reference = { anchorId, leafIndex: 1 };
  for (const [told, passed] of [
    await both((notary) => notary.getAnchor({ anchorId })),
    await both((notary) => notary.listAnchors({ clusterId })),
    await both((notary) => notary.listLeaves({ anchorId })),
    await both((notary) => notary.getInclusionProof(reference)),
    await both((notary) => notary.batchGetInclusionProofs({ clusterId, references: [reference] })),
    await both((notary) => notary.getConsistencyProof({ clusterId, firstSize: 0n, secondSize: 1n })),
    await both((notary) => notary.getCheckpoint({ clusterId })),
    await both((notary) => notary.getLog({ clusterId })),
  ]) {
    expect(passed).toEqual(told);
  }
});

// Red when `passedBack` drops the metadata.
test('errors come back with their codes, messages and details', async () => {
  const { clusterId } = caller;
  const same = async (ask: (notary: typeof agent.notary) => Promise<unknown>) => {
    const told = await failure(ask(arena.server.notary));
    expect(await failure(ask(agent.notary))).toEqual(told);
    return told.code;
  };
  const unknown = randomUUID();
  expect([
    await same((notary) => notary.getAnchor({ anchorId: unknown })),
    await same((notary) => notary.getAnchor({ anchorId: 'no id' })),
    await same((notary) => notary.getCheckpoint({ clusterId, treeSize: 1_000n })),
    await same((notary) => notary.createAnchor({ clusterId: unknown, packedLeaves: leavesNamed('x') })),
    await same((notary) => notary.createAnchor({ clusterId, leaves: [new Uint8Array(31)] })),
    await same((notary) => notary.createAnchor({ clusterId })),
    await same((notary) => notary.createAnchor({ clusterId, packedLeaves: new Uint8Array(33) })),
    await same((notary) =>
      notary.createAnchor({ clusterId, packedLeaves: leavesNamed('x'), knownCheckpoint: 'none' }),
    ),
    await same((notary) => notary.listAnchors({ clusterId, pageSize: -1 })),
  ]).toEqual([
    'NOT_FOUND',
    'INVALID_ARGUMENT',
    'OUT_OF_RANGE',
    'NOT_FOUND',
    ...Array(5).fill('INVALID_ARGUMENT'),
  ]);
});

describe('CreateAnchor', () => {
  // Red when `send` adds no request_id.
  test('is given a request_id where it has none, and keeps its own', async () => {
    const { clusterId } = caller;
    const [without, own] = [leavesNamed('without'), leavesNamed('own')];
    const requestId = randomUUID();
    const first = await agent.notary.createAnchor({ clusterId, packedLeaves: without });
    const second = await agent.notary.createAnchor({ clusterId, packedLeaves: own, requestId });
    expect(await requestIdOf(first.anchorId)).toMatch(/^[0-9a-f-]{36}$/);
    expect(await requestIdOf(second.anchorId)).toBe(requestId);
    expect(await arena.server.notary.createAnchor({ clusterId, packedLeaves: own, requestId })).toMatchObject(
      { anchorId: second.anchorId, replayed: true },
    );
  });

  test('is answered in the terms of the caller: indices for leaves, the path from its own checkpoint', async () => {
    const { clusterId } = caller;
    const known = await caller.checkpoint(arena.server);
    const packedLeaves = leavesNamed('terms', 2);
    const requestId = randomUUID();
    const leaves = [packedLeaves.subarray(0, 32), packedLeaves.subarray(32)];
    const response = await agent.notary.createAnchor({
      clusterId,
      leaves,
      requestId,
      knownCheckpoint: known.checkpoint,
    });
    expect(response.leafIndices).toEqual([0, 1]);
    caller.verifyAnchor(response, packedLeaves, { requestId, known });
  });

  // Red when an answered call is remembered.
  test('sent twice without a request_id, and answered each time, makes two anchors, as without an agent', async () => {
    const { clusterId } = caller;
    const packedLeaves = leavesNamed('twice');
    const answers = [
      await agent.notary.createAnchor({ clusterId, packedLeaves }),
      await agent.notary.createAnchor({ clusterId, packedLeaves }),
    ];
    expect(new Set(answers.map(({ anchorId }) => anchorId)).size).toBe(2);
  });

  test('of the gateway that exists, with its whole buffer of 300,000 leaves, is answered as it expects', async () => {
    const gateway = new OldGateway(agent.address);
    const packed = leavesNamed('backlog', 300_000);
    const leaves = Array.from({ length: 300_000 }, (_, i) => packed.subarray(i * 32, i * 32 + 32));
    const answer = await gateway.anchor(caller.clusterId, leaves, 99n);
    gateway.close();
    expect(answer.leafCount).toBe(300_000);
    expect(answer.byteLength).toBeLessThan(4 * 1024 * 1024);
    const { anchorId } = answer;
    const { receipt } = await agent.notary.getInclusionProof({ anchorId, leafIndex: 299_999 });
    caller.verify(receiptOf(receipt), packed, anchorId, 299_999);
  });
});

// Red when `forwardStream` does not cancel the notary's stream.
test('a watch passes through, and ends at the notary when the caller leaves it', async () => {
  const { clusterId } = caller;
  const seen: string[] = [];
  const before = arena.server.notary;
  for await (const { checkpoint } of agent.notary.watchCheckpoints({ clusterId })) {
    seen.push(checkpoint);
    if (seen.length === 2) break;
    await before.createAnchor({ clusterId, packedLeaves: leavesNamed('watched') });
  }
  expect(seen[1]).toBe((await before.getCheckpoint({ clusterId })).checkpoint);
  expect(await arena.server.output(/(?:"method":"WatchCheckpoints","code":"([A-Z]+)")/)).toBe('CANCELLED');
});

test('deadlines and metadata reach the notary', async () => {
  const { clusterId } = caller;
  const refused = await failure(collect(agent.notary.watchCheckpoints({ clusterId }, { timeoutMs: 500 })));
  expect(refused.code).toBe('DEADLINE_EXCEEDED');
  await expect(agent.notary.getLog({ clusterId }, { timeoutMs: 0 })).rejects.toMatchObject({
    code: status.DEADLINE_EXCEEDED,
  });
});

test('a read while the notary is away is UNAVAILABLE, with the advice to come again', async () => {
  const other = await arena.startAgent({ endpoint: '127.0.0.1:1' });
  const { clusterId } = caller;
  const refused = await failure(other.notary.getLog({ clusterId }));
  expect(refused).toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'NOTARY_UNREACHABLE' } });
  expect(refused.details?.retryDelayMs).toBeGreaterThan(0);
  expect((await failure(collect(other.notary.watchCheckpoints({ clusterId })))).code).toBe('UNAVAILABLE');
  await eventually(() => other.lines().length > 1);
  await other.kill('SIGTERM');
});

async function requestIdOf(anchorId: string): Promise<string | undefined> {
  return (await arena.server.notary.getAnchor({ anchorId })).anchor?.requestId;
}

async function collect<T>(answers: AsyncIterable<T>): Promise<T[]> {
  const all = [];
  for await (const answer of answers) all.push(answer);
  return all;
}
