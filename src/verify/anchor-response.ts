// The gateway's side: what CreateAnchor answered, checked against what was asked.

import { equalHashes, hashBatch, portableHasher, type TreeHasher } from '../merkle/index.ts';
import { isSize } from '../note/index.ts';
import {
  closeCheckpoint,
  type OpenedCheckpoint,
  openCheckpoint,
  type ReadCheckpoint,
  readCheckpoint,
  type VerifiedCheckpoint,
  verifyCheckpointConsistency,
} from './checkpoint.ts';
import { VerificationError } from './error.ts';
import { openAnchorRecord, type ParsedAnchorRecord, verifyLogEntry } from './log-entry.ts';
import { type Policy, readPolicy, type Verifier, type VerifyOptions } from './policy.ts';
import { isBytes, isPath, lowerCaseUuid } from './shape.ts';

/** What was asked for. */
export interface AnchorRequest extends RequestFields {
  /** the caller's own leaves, N * 32 bytes, N from 1 */
  readonly packedLeaves: Uint8Array;
}

/** What was asked for, with the leaves hashed before: a big batch keeps a thread for long, unless that is done in slices. */
export interface HashedAnchorRequest extends RequestFields {
  readonly leafCount: number;
  /** 32 bytes: root of the caller's own leaves */
  readonly root: Uint8Array;
}

interface RequestFields {
  /** UUID in any case */
  readonly clusterId: string;
  /** as sent; 0 when left out */
  readonly etcdRevision?: bigint;
  /** UUID in any case; left out when none was sent */
  readonly requestId?: string;
  /** the verified checkpoint that was sent as `known_checkpoint`, if any */
  readonly known?: VerifiedCheckpoint;
}

/** The fields of a CreateAnchorResponse, with int64 as numbers: what does not fit is refused. */
export interface AnchorResponse {
  readonly anchorId: string;
  readonly leafCount: number;
  readonly leafIndices: readonly number[];
  readonly record: Uint8Array;
  readonly logIndex: number;
  readonly checkpoint: string;
  readonly recordPath: readonly Uint8Array[];
  readonly consistencyPath: readonly Uint8Array[];
}

/** An anchor that is proven to be in the log. */
export interface VerifiedAnchor {
  readonly anchorId: string;
  readonly clusterId: string;
  readonly leafCount: number;
  /** 32 bytes: root of the caller's own leaves */
  readonly root: Uint8Array;
  readonly logIndex: number;
  /** milliseconds since the epoch: the notary's claim */
  readonly createdAtMs: number;
  /** to be kept, and presented with the next call */
  readonly checkpoint: VerifiedCheckpoint;
}

/**
 * Verifies an answer to CreateAnchor: that the record is of these leaves and this request, that it is in the log, that the log
 * is signed by a pinned key, and that it only grew since the checkpoint that was presented.
 *
 * A checkpoint of the same origin, size and root as the presented one is not verified again: a signature says no more than
 * that, and portable verification costs a millisecond.
 *
 * @throws {VerificationError} whose `code` names the step that failed
 */
export function verifyAnchorResponse(
  response: AnchorResponse,
  request: AnchorRequest,
  policy: Policy,
  options: VerifyOptions = {},
): VerifiedAnchor {
  const leafCount = request.packedLeaves.length / 32;
  if (!Number.isInteger(leafCount) || leafCount === 0) {
    throw new VerificationError('BAD_EXPECTED', 'the packed leaves must be 32 bytes each, at least one');
  }
  const { root } = hashBatch(options.hasher ?? portableHasher, request.packedLeaves);
  return verifyHashedAnchorResponse(response, { ...request, leafCount, root }, policy, options);
}

/** {@link verifyAnchorResponse} for leaves that are hashed already. @throws {VerificationError} */
export function verifyHashedAnchorResponse(
  response: AnchorResponse,
  request: HashedAnchorRequest,
  policy: Policy,
  options: VerifyOptions = {},
): VerifiedAnchor {
  const verifier = readPolicy(policy, options);
  const asked = checkRequest(request);
  checkShape(response);

  const opened = openCheckpoint(response.checkpoint, verifier);
  const anchor = checkProof(response, asked, opened, verifier.hasher);
  const checkpoint = closeUnlessKnown(response.checkpoint, opened, request.known, verifier);
  checkGrowth(checkpoint, request.known, response.consistencyPath, verifier);
  return { ...anchor, checkpoint };
}

/**
 * The same for whoever has no key: the answer is of these leaves and this request, and leads to its own checkpoint. That finds
 * faults, and no lies, since nobody has to have signed that checkpoint. What was presented does not matter.
 *
 * @throws {VerificationError}
 */
export function checkAnchorResponse(
  response: AnchorResponse,
  request: HashedAnchorRequest,
  hasher: TreeHasher,
): UnsignedAnchor {
  const asked = checkRequest(request);
  checkShape(response);
  return checkProof(response, asked, readCheckpoint(response.checkpoint), hasher);
}

type UnsignedAnchor = Omit<VerifiedAnchor, 'checkpoint'>;

interface Asked {
  readonly clusterId: string;
  readonly leafCount: number;
  readonly root: Uint8Array;
  readonly etcdRevision: bigint;
  readonly requestId: string | undefined;
}

function checkRequest(request: HashedAnchorRequest): Asked {
  const { clusterId, etcdRevision = 0n, requestId, leafCount, root } = request;
  const cluster = lowerCaseUuid(clusterId);
  if (cluster === undefined) throw new VerificationError('BAD_EXPECTED', 'the cluster id is no UUID');
  const lowered = requestId === undefined ? undefined : lowerCaseUuid(requestId);
  if (requestId !== undefined && lowered === undefined) {
    throw new VerificationError('BAD_EXPECTED', 'the request id is no UUID');
  }
  return { clusterId: cluster, leafCount, root, etcdRevision, requestId: lowered };
}

/** What needs no key: that the record is of this request and its leaves, and in the tree of the checkpoint. */
function checkProof(
  response: AnchorResponse,
  asked: Asked,
  checkpoint: ReadCheckpoint,
  hasher: TreeHasher,
): UnsignedAnchor {
  const record = openAnchorRecord(response.record, checkpoint);
  checkRecord(record, response, asked);
  if (!equalHashes(record.root, asked.root)) {
    throw new VerificationError(
      'ROOT_MISMATCH',
      'the anchored root is not that of the leaves that were sent',
    );
  }
  verifyLogEntry(response, checkpoint, hasher);
  const { anchorId, clusterId, leafCount, root, createdAtMs } = record;
  return { anchorId, clusterId, leafCount, root, logIndex: response.logIndex, createdAtMs };
}

function checkShape(response: AnchorResponse): void {
  const wrong =
    (typeof response.anchorId !== 'string' && 'anchor id') ||
    (!isSize(response.leafCount) && 'leaf count') ||
    (!Array.isArray(response.leafIndices) && 'leaf indices') ||
    (!isBytes(response.record) && 'record') ||
    (!isSize(response.logIndex) && 'log index') ||
    (typeof response.checkpoint !== 'string' && 'checkpoint') ||
    (!isPath(response.recordPath) && 'record path') ||
    (!isPath(response.consistencyPath) && 'consistency path');
  if (wrong) throw new VerificationError('BAD_RESPONSE', `the answer's ${wrong} is malformed`);
}

function checkRecord(record: ParsedAnchorRecord, response: AnchorResponse, asked: Asked): void {
  if (record.clusterId !== asked.clusterId) {
    throw new VerificationError(
      'CLUSTER_MISMATCH',
      `asked ${asked.clusterId}, anchored in ${record.clusterId}`,
    );
  }
  if (record.anchorId !== response.anchorId) {
    throw new VerificationError(
      'ANCHOR_MISMATCH',
      `the answer's anchor id is not the record's, ${record.anchorId}`,
    );
  }
  if (record.leafCount !== asked.leafCount || response.leafCount !== asked.leafCount) {
    throw new VerificationError(
      'LEAF_COUNT_MISMATCH',
      `sent ${asked.leafCount} leaves, anchored ${record.leafCount}`,
    );
  }
  // Empty for packed leaves and for the largest batches; otherwise the positions, which gateways store as they come.
  const { leafIndices } = response;
  if (
    leafIndices.length !== 0 &&
    (leafIndices.length !== asked.leafCount ||
      leafIndices.findIndex((leafIndex, position) => leafIndex !== position) !== -1)
  ) {
    throw new VerificationError(
      'LEAF_INDEX_MISMATCH',
      'the leaf indices are not the positions of the leaves',
    );
  }
  if (record.etcdRevision !== asked.etcdRevision) {
    throw new VerificationError(
      'REVISION_MISMATCH',
      `sent revision ${asked.etcdRevision}, anchored ${record.etcdRevision}`,
    );
  }
  if (record.requestId !== asked.requestId) {
    throw new VerificationError('REQUEST_ID_MISMATCH', 'the anchor was made for another request');
  }
}

function closeUnlessKnown(
  checkpoint: string,
  opened: OpenedCheckpoint,
  known: VerifiedCheckpoint | undefined,
  verifier: Verifier,
): VerifiedCheckpoint {
  if (
    known !== undefined &&
    known.origin === opened.origin &&
    known.size === opened.size &&
    equalHashes(known.root, opened.root)
  ) {
    return known;
  }
  return closeCheckpoint(checkpoint, opened, verifier);
}

function checkGrowth(
  checkpoint: VerifiedCheckpoint,
  known: VerifiedCheckpoint | undefined,
  path: readonly Uint8Array[],
  { hasher }: Verifier,
): void {
  if (known !== undefined) {
    verifyCheckpointConsistency(known, checkpoint, path, { hasher });
  } else if (path.length !== 0) {
    throw new VerificationError(
      'CONSISTENCY_PATH',
      'a consistency path was sent although no checkpoint was presented',
    );
  }
}
