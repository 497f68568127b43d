import { createServer, type Socket } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { commitEvent, createGateway, fetchReceipt } from '../../src/gateway/index.ts';
import { formatTlogProof, leafOf, parseTlogProof, verifyReceipt } from '../../src/verify/index.ts';
import { type NotaryUnderTest, startNotary } from '../integration/notary-under-test.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
let notary: NotaryUnderTest;
beforeAll(async () => {
  database = await openTestDatabase();
  notary = await startNotary(database);
});
afterAll(async () => {
  await notary.stop();
  await database.close();
});

const EVENT = { actor: 'ada', action: 'approval.approved', subject: 'deployment 7' };

// Red when leafIndex is dropped (the receipt is then of leaf 0), and when formatTlogProof is not of the same receipt.
test('an auditor who has the row fetches a receipt, keeps it as a file, and verifies that offline', async () => {
  const { cluster } = await notary.registry.createCluster({ displayName: 'fetch' });
  const clusterId = cluster!.clusterId;
  const [key] = (await notary.notary.getLog({ clusterId })).keys;
  await using gateway = createGateway({ endpoint: notary.address, clusterId, logger: quiet });
  const before = await gateway.submit(commitEvent({ ...EVENT, subject: 'deployment 6' }));
  const { leaf, salt } = commitEvent(EVENT);
  const { anchorId, leafIndex } = await (await gateway.submit(leaf)).anchored;
  expect((await before.anchored).anchorId).toBe(anchorId);

  const receipt = await fetchReceipt({ endpoint: notary.address, anchorId, leafIndex });
  const kept = parseTlogProof(formatTlogProof(receipt));
  const expected = { leaf: leafOf(EVENT, salt), anchorId, leafIndex };
  expect(verifyReceipt(kept, expected, { logKeys: [key!.vkey] })).toMatchObject({
    anchorId,
    clusterId,
    leafIndex: 1,
    leafCount: 2,
  });
});

test('an anchor that the notary does not have, and a leaf past the end of one, are told by their status', async () => {
  const { cluster } = await notary.registry.createCluster({ displayName: 'refusals' });
  const clusterId = cluster!.clusterId;
  const anchored = await notary.notary.createAnchor({ clusterId, packedLeaves: new Uint8Array(32) });
  const { anchorId } = anchored;
  const endpoint = notary.address;
  await expect(fetchReceipt({ endpoint, anchorId: clusterId, leafIndex: 0 })).rejects.toMatchObject({
    code: status.NOT_FOUND,
  });
  await expect(fetchReceipt({ endpoint, anchorId, leafIndex: 1 })).rejects.toMatchObject({
    code: status.OUT_OF_RANGE,
  });
  const other = await notary.registry.createCluster({ displayName: 'other' });
  await expect(
    fetchReceipt({ endpoint, anchorId, leafIndex: 0, clusterId: other.cluster!.clusterId }),
  ).rejects.toMatchObject({ code: status.NOT_FOUND });
});

// Red when the deadline is not passed on: the call then waits for ever.
test('a notary that is away, or says nothing, is given up', async () => {
  const request = { anchorId: '0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d', leafIndex: 0 };
  await expect(fetchReceipt({ ...request, endpoint: '127.0.0.1:1' })).rejects.toMatchObject({
    code: status.UNAVAILABLE,
  });
  const accepted: Socket[] = [];
  const silent = createServer((socket) => accepted.push(socket));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as { port: number };
  const call = fetchReceipt({ ...request, endpoint: `127.0.0.1:${port}`, timeoutMs: 200 });
  await expect(call).rejects.toMatchObject({ code: status.DEADLINE_EXCEEDED });
  silent.close();
  for (const socket of accepted) socket.destroy();
});

const quiet = { info: () => {}, warn: () => {}, error: () => {} };
