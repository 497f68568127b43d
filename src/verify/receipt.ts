import { equalHashes, MerkleError, type TreeHasher, verifyInclusion } from '../merkle/index.ts';
import { isSize, type TlogProof } from '../note/index.ts';
import { closeCheckpoint, openCheckpoint } from './checkpoint.ts';
import { VerificationError } from './error.ts';
import { openAnchorRecord, type ParsedAnchorRecord, verifyLogEntry } from './log-entry.ts';
import { type Policy, readPolicy, type VerifyOptions } from './policy.ts';
import { isBytes, isHash, isPath, lowerCaseUuid } from './shape.ts';

/** A receipt as a server or a `.tlog-proof` gives it. */
export interface Receipt extends TlogProof {
  /** 32 bytes: what the server says the leaf is; only ever compared with the caller's own */
  readonly leaf?: Uint8Array;
}

/** What the caller knows of its own event. */
export interface Expected {
  /** 32 bytes: the digest that the caller has computed of its own event, never taken from the receipt */
  readonly leaf: Uint8Array;
  /** UUID in any case, where the caller has kept it */
  readonly anchorId?: string;
  readonly leafIndex?: number;
}

/** What a verified receipt proves. `createdAtMs`, `submitter` and `etcdRevision` are the notary's claims, signed by it. */
export interface Verdict {
  readonly origin: string;
  readonly clusterId: string;
  readonly anchorId: string;
  readonly leafIndex: number;
  readonly leafCount: number;
  readonly logIndex: number;
  readonly etcdRevision: bigint;
  /** milliseconds since the epoch */
  readonly createdAtMs: number;
  readonly requestId?: string;
  readonly submitter?: string;
  /** number of entries of the log that the checkpoint covers */
  readonly treeSize: number;
  /** 32 bytes: root of that log */
  readonly root: Uint8Array;
  /** the pinned verifier keys that have signed, at least one */
  readonly signers: readonly string[];
}

/**
 * Verifies offline that a leaf was anchored. Nothing is believed because the notary said it: the leaf is the caller's, the
 * keys are the caller's, and everything between them is hashed or signed.
 *
 * @example
 * ```ts
 * const receipt = parseTlogProof(text);
 * const verdict = verifyReceipt(receipt, { leaf: digestOfMyEvent }, { logKeys: [vkey] });
 * console.log(`anchored as ${verdict.anchorId} at ${new Date(verdict.createdAtMs).toISOString()}`);
 * ```
 * @throws {VerificationError} whose `code` names the step that failed
 */
export function verifyReceipt(
  receipt: Receipt,
  expected: Expected,
  policy: Policy,
  options: VerifyOptions = {},
): Verdict {
  const verifier = readPolicy(policy, options);
  const expectedAnchorId = checkExpected(expected);
  checkShape(receipt);

  const opened = openCheckpoint(receipt.checkpoint, verifier);
  const record = openAnchorRecord(receipt.record, opened);
  if (expectedAnchorId !== undefined && record.anchorId !== expectedAnchorId) {
    throw new VerificationError(
      'ANCHOR_MISMATCH',
      `the receipt is of anchor ${record.anchorId}, not ${expectedAnchorId}`,
    );
  }
  checkLeaf(receipt, expected, record);
  verifyLeafPath(receipt, expected.leaf, record, verifier.hasher);
  verifyLogEntry(receipt, opened, verifier.hasher);
  const checkpoint = closeCheckpoint(receipt.checkpoint, opened, verifier);

  return {
    origin: checkpoint.origin,
    clusterId: record.clusterId,
    anchorId: record.anchorId,
    leafIndex: receipt.leafIndex,
    leafCount: record.leafCount,
    logIndex: receipt.logIndex,
    etcdRevision: record.etcdRevision,
    createdAtMs: record.createdAtMs,
    ...(record.requestId === undefined ? {} : { requestId: record.requestId }),
    ...(record.submitter === undefined ? {} : { submitter: record.submitter }),
    treeSize: checkpoint.size,
    root: checkpoint.root,
    signers: checkpoint.signers,
  };
}

/** @returns the expected anchor id in lower case, if there is one */
function checkExpected({ leaf, anchorId, leafIndex }: Expected): string | undefined {
  // Without the caller's own leaf there is nothing to prove: a receipt always agrees with itself.
  if (!isHash(leaf))
    throw new VerificationError('BAD_EXPECTED', 'the expected leaf must be given, as 32 bytes');
  if (leafIndex !== undefined && !isSize(leafIndex)) {
    throw new VerificationError('BAD_EXPECTED', `${leafIndex} is no leaf index`);
  }
  if (anchorId === undefined) return undefined;
  const lowered = lowerCaseUuid(anchorId);
  if (lowered === undefined) throw new VerificationError('BAD_EXPECTED', 'the expected anchor id is no UUID');
  return lowered;
}

function checkShape({ leaf, leafIndex, leafPath, record, logIndex, recordPath, checkpoint }: Receipt): void {
  const wrong =
    (leaf !== undefined && !isHash(leaf) && 'leaf') ||
    (!isSize(leafIndex) && 'leaf index') ||
    (!isPath(leafPath) && 'leaf path') ||
    (!isBytes(record) && 'record') ||
    (!isSize(logIndex) && 'log index') ||
    (!isPath(recordPath) && 'record path') ||
    (typeof checkpoint !== 'string' && 'checkpoint');
  if (wrong) throw new VerificationError('BAD_RECEIPT', `the receipt's ${wrong} is malformed`);
}

function checkLeaf(receipt: Receipt, expected: Expected, { leafCount }: ParsedAnchorRecord): void {
  const { leafIndex } = receipt;
  if (expected.leafIndex !== undefined && leafIndex !== expected.leafIndex) {
    throw new VerificationError(
      'LEAF_INDEX_MISMATCH',
      `the receipt is of leaf ${leafIndex}, not ${expected.leafIndex}`,
    );
  }
  if (leafIndex >= leafCount) {
    throw new VerificationError(
      'LEAF_INDEX_OUT_OF_RANGE',
      `leaf ${leafIndex} is not in a batch of ${leafCount}`,
    );
  }
  if (receipt.leaf !== undefined && !equalHashes(receipt.leaf, expected.leaf)) {
    throw new VerificationError('LEAF_MISMATCH', 'the receipt is of another leaf than the expected one');
  }
}

function verifyLeafPath(
  { leafIndex, leafPath }: Receipt,
  leaf: Uint8Array,
  { leafCount, root }: ParsedAnchorRecord,
  hasher: TreeHasher,
): void {
  try {
    verifyInclusion(hasher, {
      leafHash: hasher.leafHash(leaf),
      index: leafIndex,
      size: leafCount,
      path: leafPath,
      root,
    });
  } catch (error) {
    if (!(error instanceof MerkleError)) throw error;
    throw new VerificationError(
      'LEAF_PATH',
      `the leaf is not shown to be in the anchor: ${error.message}`,
      error,
    );
  }
}
