/** Requests of QuartermasterNotary, checked, in the words of the notary. Each throws a `RequestError` or a `NotaryError`. */
import type * as pb from '#gen/quartermaster/v1/notary_pb.js';
import type { AnchorQuery, LeafQuery, LeafReference, Submission } from '../notary/service.ts';
import type { ReceivedBatch } from './create-anchor-codec.ts';
import { LEAF_BYTES, tooManyLeaves } from './create-anchor-codec.ts';
import { isIndex, parsePageToken } from './page-token.ts';
import { MAX_CHECKPOINT_BYTES, RequestFields } from './request-fields.ts';

const MAX_REFERENCES = 1_000;
const DEFAULT_ANCHORS_PAGE = 100;
const MAX_ANCHORS_PAGE = 1_000;
const MAX_LEAVES_PAGE = 65_536;

export function parseCreateAnchor(
  batch: ReceivedBatch,
  maxLeafCount: number,
): Omit<Submission, 'submitter' | 'signal'> {
  const check = new RequestFields();
  const { fields } = batch;
  const submission = {
    clusterId: check.uuid('cluster_id', fields.clusterId),
    packedLeaves: leavesOf(batch, check),
    etcdRevision: check.notNegative('etcd_revision', fields.etcdRevision),
    requestId: check.optionalUuid('request_id', fields.requestId),
    knownCheckpoint: check.text('known_checkpoint', fields.knownCheckpoint, MAX_CHECKPOINT_BYTES),
  };
  check.done();
  if (submission.packedLeaves.byteLength > maxLeafCount * LEAF_BYTES) throw tooManyLeaves(maxLeafCount);
  return submission;
}

function leavesOf(batch: ReceivedBatch, check: RequestFields): Uint8Array {
  const { leafCount, leaves, misfits, misfitCount, packedLeaves } = batch;
  if (leafCount > 0 && packedLeaves.byteLength > 0) {
    check.violate('packed_leaves', 'given together with leaves: use one of the two fields');
  } else if (leafCount === 0 && packedLeaves.byteLength === 0) {
    check.violate('leaves', 'empty, at least one leaf is needed');
  }
  for (const { index, byteLength } of misfits) {
    check.violate(`leaves[${index}]`, `${byteLength} bytes, expected ${LEAF_BYTES}`);
  }
  check.violateUnnamed(misfitCount - misfits.length);
  if (packedLeaves.byteLength % LEAF_BYTES !== 0) {
    check.violate('packed_leaves', `${packedLeaves.byteLength} bytes, expected a multiple of ${LEAF_BYTES}`);
  }
  return leafCount > 0 ? leaves : packedLeaves;
}

/** Of GetAnchor and ListLeaves: one anchor, in a cluster or in any. */
export function parseAnchorName(request: { readonly anchorId: string; readonly clusterId: string }) {
  const check = new RequestFields();
  const anchorId = check.uuid('anchor_id', request.anchorId);
  const clusterId = check.optionalUuid('cluster_id', request.clusterId);
  check.done();
  return { anchorId, clusterId };
}

/** Of GetLog and WatchCheckpoints. */
export function parseClusterName(request: { readonly clusterId: string }): string {
  const check = new RequestFields();
  const clusterId = check.uuid('cluster_id', request.clusterId);
  check.done();
  return clusterId;
}

/** A page of a list, and what its token for the next page is tied to. */
export interface Page<Query> {
  readonly query: Query;
  readonly scope: readonly unknown[];
}

export function parseListAnchors(request: pb.ListAnchorsRequest): Page<AnchorQuery> {
  const check = new RequestFields();
  const clusterId = check.uuid('cluster_id', request.clusterId);
  const limit = check.pageSize(request.pageSize, DEFAULT_ANCHORS_PAGE, MAX_ANCHORS_PAGE);
  const startMs = check.optionalTimeMs('start_time', request.startTime);
  const endMs = check.optionalTimeMs('end_time', request.endTime);
  check.done();
  const scope = ['ListAnchors', clusterId, startMs ?? null, endMs ?? null];
  const fromLogIndex = Number(parsePageToken(scope, request.pageToken, isIndex) ?? 0);
  return { query: { clusterId, fromLogIndex, limit, startMs, endMs }, scope };
}

export function parseListLeaves(request: pb.ListLeavesRequest): Page<LeafQuery> {
  const check = new RequestFields();
  const anchorId = check.uuid('anchor_id', request.anchorId);
  const clusterId = check.optionalUuid('cluster_id', request.clusterId);
  const limit = check.pageSize(request.pageSize, MAX_LEAVES_PAGE, MAX_LEAVES_PAGE);
  check.done();
  const scope = ['ListLeaves', anchorId, clusterId ?? null];
  const firstLeafIndex = Number(parsePageToken(scope, request.pageToken, isIndex) ?? 0);
  return { query: { anchorId, clusterId, firstLeafIndex, limit }, scope };
}

export function parseGetInclusionProof(request: pb.GetInclusionProofRequest) {
  const check = new RequestFields();
  const anchorId = check.uuid('anchor_id', request.anchorId);
  const clusterId = check.optionalUuid('cluster_id', request.clusterId);
  const treeSize = check.treeSize('tree_size', request.treeSize);
  check.done();
  return { reference: { anchorId, clusterId, leafIndex: request.leafIndex }, treeSize };
}

export function parseBatchGetInclusionProofs(request: pb.BatchGetInclusionProofsRequest) {
  const check = new RequestFields();
  const clusterId = check.uuid('cluster_id', request.clusterId);
  const treeSize = check.treeSize('tree_size', request.treeSize);
  const count = request.references.length;
  if (count === 0 || count > MAX_REFERENCES) {
    check.violate('references', `${count} references, expected 1 to ${MAX_REFERENCES}`);
  }
  const references = request.references.slice(0, MAX_REFERENCES).map(
    ({ anchorId, leafIndex }, index): LeafReference => ({
      anchorId: check.uuid(`references[${index}].anchor_id`, anchorId),
      leafIndex,
    }),
  );
  check.done();
  return { clusterId, references, treeSize };
}

/** Sizes are literal: 0 is the empty log, never "the latest". */
export function parseGetConsistencyProof(request: pb.GetConsistencyProofRequest) {
  const check = new RequestFields();
  const clusterId = check.uuid('cluster_id', request.clusterId);
  check.notNegative('first_size', request.firstSize);
  check.notNegative('second_size', request.secondSize);
  if (request.firstSize > request.secondSize) {
    check.violate('first_size', `${request.firstSize} is larger than second_size, ${request.secondSize}`);
  }
  check.done();
  return {
    clusterId,
    firstSize: check.treeSize('first_size', request.firstSize),
    secondSize: check.treeSize('second_size', request.secondSize),
  };
}

export function parseGetCheckpoint(request: pb.GetCheckpointRequest) {
  const check = new RequestFields();
  const clusterId = check.uuid('cluster_id', request.clusterId);
  const treeSize = check.treeSize('tree_size', request.treeSize);
  check.done();
  return { clusterId, treeSize };
}
