import { expect } from '@jest/globals';
import { fastHasher } from '../../src/merkle/fast.ts';
import { equalHashes, hashBatch } from '../../src/merkle/index.ts';
import { verifyEd25519Natively } from '../../src/native/ed25519.ts';
import type { Ed25519Verifier } from '../../src/note/index.ts';
import { parseRecord } from '../../src/record/index.ts';
import { verifyReceipt } from '../../src/verify/index.ts';
import { type CarefulCaller, receiptOf } from '../integration/careful-caller.ts';
import type { Clients } from '../integration/notary-under-test.ts';
import type { GatewayRow } from './rust-gateway.ts';

const LEAF_BYTES = 32;
const PROOFS_A_CALL = 1_000;

/** The gateway's rows are those of these events, each once, and where a row says that its event is, there it is anchored. */
export async function expectAnchored(
  clients: Clients,
  caller: CarefulCaller,
  rows: readonly GatewayRow[],
  packedLeaves: Uint8Array,
): Promise<void> {
  const leaves = Buffer.from(packedLeaves);
  expect(rows.length).toBe(leaves.length / LEAF_BYTES);
  const misplaced = rows.find(
    ({ event, leaf }, i) =>
      event !== i || leaf !== leaves.toString('hex', i * LEAF_BYTES, (i + 1) * LEAF_BYTES),
  );
  expect(misplaced).toBeUndefined();

  for (const [anchorId, ofAnchor] of Map.groupBy(rows, ({ anchor_id }) => anchor_id)) {
    const batch = await readLeaves(clients, anchorId);
    const elsewhere = ofAnchor.find(
      ({ leaf, leaf_index: i }) => leaf !== batch.toString('hex', i * LEAF_BYTES, (i + 1) * LEAF_BYTES),
    );
    expect(elsewhere).toBeUndefined();
    // The root that the log proves is the root of these very leaves: all of them are in it, each at its index.
    const { record } = await proveSome(clients, caller, ofAnchor.slice(0, 1));
    const parsed = parseRecord(record);
    if (parsed.kind !== 'anchor') throw new Error(`the entry is a ${parsed.kind}`);
    expect(parsed.leafCount).toBe(batch.length / LEAF_BYTES);
    expect(equalHashes(parsed.root, hashBatch(fastHasher, batch).root)).toBe(true);
  }
}

/** A receipt for each of these rows, verified offline against what the row says. */
export async function expectProvable(
  clients: Clients,
  caller: CarefulCaller,
  rows: readonly GatewayRow[],
): Promise<void> {
  for (let start = 0; start < rows.length; start += PROOFS_A_CALL) {
    await proveSome(clients, caller, rows.slice(start, start + PROOFS_A_CALL));
  }
}

/** The same, each by a call of its own. */
export async function expectEachProvable(
  { notary }: Clients,
  caller: CarefulCaller,
  rows: readonly GatewayRow[],
): Promise<void> {
  for (const { anchor_id: anchorId, leaf_index: leafIndex, leaf } of rows) {
    const { receipt } = await notary.getInclusionProof({ anchorId, leafIndex });
    const expected = { leaf: new Uint8Array(Buffer.from(leaf, 'hex')), anchorId, leafIndex };
    verifyReceipt(receiptOf(receipt), expected, caller.policy, FAST);
  }
}

/** About `count` of them, spread evenly, with the last. */
export function sampleOf<T>(rows: readonly T[], count: number): T[] {
  const step = Math.ceil(rows.length / count);
  return rows.filter((_, i) => i % step === 0 || i === rows.length - 1);
}

/** Up to 1,000 rows of one cluster. @returns the first one's record */
async function proveSome(
  { notary }: Clients,
  { clusterId, policy }: CarefulCaller,
  rows: readonly GatewayRow[],
): Promise<{ readonly record: Uint8Array }> {
  const references = rows.map(({ anchor_id, leaf_index }) => ({
    anchorId: anchor_id,
    leafIndex: leaf_index,
  }));
  const { checkpoint, anchors } = await notary.batchGetInclusionProofs({ clusterId, references });
  // Answers keep the order of first mention, and so do groups.
  const groups = [...Map.groupBy(rows, ({ anchor_id }) => anchor_id).values()];
  expect(anchors.map(({ leaves }) => leaves.length)).toEqual(groups.map((group) => group.length));
  for (const [i, group] of groups.entries()) {
    const { record, logIndex, recordPath, leaves } = anchors[i]!;
    const shared = { record, logIndex: Number(logIndex), recordPath, checkpoint };
    for (const [j, { anchor_id: anchorId, leaf_index: leafIndex, leaf }] of group.entries()) {
      const expected = { leaf: new Uint8Array(Buffer.from(leaf, 'hex')), anchorId, leafIndex };
      verifyReceipt({ ...shared, ...leaves[j]! }, expected, policy, FAST);
    }
  }
  return anchors[0]!;
}

async function readLeaves({ notary }: Clients, anchorId: string): Promise<Buffer> {
  const pages: Uint8Array[] = [];
  for (let pageToken = ''; ; ) {
    const page = await notary.listLeaves({ anchorId, pageToken });
    pages.push(page.packedLeaves);
    pageToken = page.nextPageToken;
    if (pageToken === '') return Buffer.concat(pages);
  }
}

/** A thousand receipts in a row are under one signature. */
function rememberingTheLast(verify: Ed25519Verifier): Ed25519Verifier {
  let last: { readonly inputs: readonly Uint8Array[]; readonly verdict: boolean } | undefined;
  return (...inputs) => {
    const same = last?.inputs.every((input, i) => Buffer.compare(input, inputs[i]!) === 0);
    if (last === undefined || !same) last = { inputs, verdict: verify(...inputs) };
    return last.verdict;
  };
}

const FAST = { hasher: fastHasher, verifyEd25519: rememberingTheLast(verifyEd25519Natively) };
