import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Receipt, type VerificationErrorCode, verifyReceipt } from '../../src/verify/index.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { CarefulCaller, leavesNamed, receiptOf } from './careful-caller.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';

// The shortest path through everything that there is, with the real program: it also runs in a container's Postgres.

let database: TestDatabase;
let server: ServerProcess;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startServerProcess({ databaseUrl: database.databaseUrl });
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
});

describe('from CreateAnchor to a proof verified offline', () => {
  const requestId = randomUUID();
  const leaves = leavesNamed('smoke', 3);

  test('a leaf is anchored, proven, and verified; any damage is refused; a restart changes nothing', async () => {
    const caller = await CarefulCaller.ofNewCluster(server, server.seed);
    const first = await caller.anchor(server, leaves, { requestId, etcdRevision: 7n });
    expect(first.response.replayed).toBe(false);
    const { anchorId } = first.verified;

    const { receipt: message } = await server.notary.getInclusionProof({ anchorId, leafIndex: 1 });
    const receipt = receiptOf(message);
    const leaf = leaves.subarray(32, 64);
    expect(verifyReceipt(receipt, { leaf, anchorId, leafIndex: 1 }, caller.policy)).toMatchObject({
      clusterId: caller.clusterId,
      anchorId,
      leafIndex: 1,
      leafCount: 3,
      etcdRevision: 7n,
      requestId,
    });
    for (const { damaged, code } of damagedOnce(receipt)) {
      expect(() => verifyReceipt(damaged, { leaf }, caller.policy)).toThrow(
        expect.objectContaining({ code }),
      );
    }
    expect(() => verifyReceipt(receipt, { leaf: flipped(leaf) }, caller.policy)).toThrow(
      expect.objectContaining({ code: 'LEAF_MISMATCH' }),
    );

    const { seed } = server;
    expect(await server.kill('SIGTERM')).toMatchObject({ code: 0 });
    server = await startServerProcess({ databaseUrl: database.databaseUrl, seed });

    const { checkpoint: known } = first.verified;
    const other = await caller.anchor(server, leavesNamed('after the restart'), { known });
    expect(other.verified.logIndex).toBe(1);
    const again = await caller.anchor(server, leaves, { requestId, etcdRevision: 7n, known });
    expect(again.response.replayed).toBe(true);
    expect(again.response.record).toEqual(first.response.record);
    expect(again.verified.checkpoint.size).toBe(2);
    await caller.prove(server, first, 2);

    expect(await caller.fsck(database.storage, seed)).toEqual({
      clusters: 1,
      entries: 2,
      leaves: 4,
      finding: undefined,
    });
  });
});

/** The receipt with each of its parts damaged in turn, and the step that finds it. */
function damagedOnce(receipt: Receipt): { damaged: Receipt; code: VerificationErrorCode }[] {
  const { leafPath, checkpoint, record, leafIndex, logIndex } = receipt;
  return [
    { damaged: { ...receipt, record: flipped(record) }, code: 'BAD_RECORD' },
    { damaged: { ...receipt, leafPath: [flipped(leafPath[0]!), ...leafPath.slice(1)] }, code: 'LEAF_PATH' },
    { damaged: { ...receipt, leafIndex: leafIndex - 1 }, code: 'LEAF_PATH' },
    { damaged: { ...receipt, logIndex: logIndex + 1 }, code: 'LOG_INDEX_OUT_OF_RANGE' },
    { damaged: { ...receipt, checkpoint: withChangedLine(checkpoint, 2) }, code: 'RECORD_PATH' },
    { damaged: { ...receipt, checkpoint: withChangedLine(checkpoint, 4) }, code: 'BAD_SIGNATURE' },
  ];
}

/** Another letter near the end of one line, where base64 still decodes. */
function withChangedLine(note: string, index: number): string {
  const lines = note.split('\n');
  const line = lines[index]!;
  const at = line.length - 8;
  lines[index] = line.slice(0, at) + (line[at] === 'A' ? 'B' : 'A') + line.slice(at + 1);
  return lines.join('\n');
}

function flipped(bytes: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[changed.length - 1]! ^= 1;
  return changed;
}
