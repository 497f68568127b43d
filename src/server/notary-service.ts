/** QuartermasterNotary: parse at the edge, call the notary, translate the answer. */
import { create } from '@bufbuild/protobuf';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import * as pb from '#gen/quartermaster/v1/notary_pb.js';
import { NotaryError } from '../notary/error.ts';
import type { Notary, RecordProof } from '../notary/service.ts';
import { anchorMessage } from './anchor-message.ts';
import type { CallContext } from './call-context.ts';
import type { AnchorReply, ReceivedBatch } from './create-anchor-codec.ts';
import { unary } from './handler.ts';
import { MAX_LISTED_LEAF_INDICES } from './limits.ts';
import * as parse from './notary-requests.ts';
import { formatPageToken } from './page-token.ts';
import { watchCheckpoints } from './watch-checkpoints.ts';

/** One handler for each method of the service, by its name in TypeScript. */
export function notaryService(notary: Notary, maxLeafCount: number): UntypedServiceImplementation {
  return {
    createAnchor: unary((batch: ReceivedBatch, context) =>
      createAnchor(notary, maxLeafCount, batch, context),
    ),
    getAnchor: unary((request: pb.GetAnchorRequest, context) => getAnchor(notary, request, context)),
    listAnchors: unary((request: pb.ListAnchorsRequest, context) => listAnchors(notary, request, context)),
    listLeaves: unary((request: pb.ListLeavesRequest, context) => listLeaves(notary, request, context)),
    getInclusionProof: unary((request: pb.GetInclusionProofRequest, context) =>
      getInclusionProof(notary, request, context),
    ),
    batchGetInclusionProofs: unary((request: pb.BatchGetInclusionProofsRequest, context) =>
      batchGetInclusionProofs(notary, request, context),
    ),
    getConsistencyProof: unary((request: pb.GetConsistencyProofRequest, context) =>
      getConsistencyProof(notary, request, context),
    ),
    getCheckpoint: unary((request: pb.GetCheckpointRequest, context) =>
      getCheckpoint(notary, request, context),
    ),
    watchCheckpoints: watchCheckpoints(notary),
    getLog: unary((request: pb.GetLogRequest, context) => getLog(notary, maxLeafCount, request, context)),
  };
}

async function createAnchor(
  notary: Notary,
  maxLeafCount: number,
  batch: ReceivedBatch,
  context: CallContext,
): Promise<AnchorReply> {
  const submission = parse.parseCreateAnchor(batch, maxLeafCount);
  const leafCount = submission.packedLeaves.byteLength / 32;
  context.clusterId = submission.clusterId;
  context.leafCount = leafCount;
  const { submitter, signal } = context;
  const answer = await notary.createAnchor({ ...submission, submitter, signal });
  context.anchorId = answer.anchorId;
  return {
    response: {
      anchorId: answer.anchorId,
      leafCount: answer.leafCount,
      record: answer.record,
      logIndex: BigInt(answer.logIndex),
      checkpoint: answer.checkpoint,
      recordPath: [...answer.recordPath],
      consistencyPath: [...answer.consistencyPath],
      replayed: answer.replayed,
    },
    // By the field that this call used, also where another call made the anchor.
    listedLeafCount: batch.leafCount > 0 && leafCount <= MAX_LISTED_LEAF_INDICES ? leafCount : 0,
  };
}

async function getAnchor(notary: Notary, request: pb.GetAnchorRequest, context: CallContext) {
  const { anchorId, clusterId } = parse.parseAnchorName(request);
  context.anchorId = anchorId;
  context.clusterId = clusterId;
  const entry = await notary.getAnchor(anchorId, clusterId);
  context.clusterId = entry.clusterId;
  const anchor = anchorMessage(entry);
  if (anchor === undefined) {
    throw new NotaryError('LOG_CORRUPT', `the entry of anchor ${anchorId} is not an anchor record`);
  }
  return create(pb.GetAnchorResponseSchema, { anchor });
}

async function listAnchors(notary: Notary, request: pb.ListAnchorsRequest, context: CallContext) {
  const { query, scope } = parse.parseListAnchors(request);
  context.clusterId = query.clusterId;
  const { entries, nextLogIndex } = await notary.listAnchors(query);
  return create(pb.ListAnchorsResponseSchema, {
    anchors: entries.map(anchorMessage).filter((anchor) => anchor !== undefined),
    nextPageToken: nextLogIndex === undefined ? '' : formatPageToken(scope, String(nextLogIndex)),
  });
}

async function listLeaves(notary: Notary, request: pb.ListLeavesRequest, context: CallContext) {
  const { query, scope } = parse.parseListLeaves(request);
  context.anchorId = query.anchorId;
  context.clusterId = query.clusterId;
  const page = await notary.listLeaves(query);
  return create(pb.ListLeavesResponseSchema, {
    packedLeaves: page.packedLeaves,
    firstLeafIndex: page.firstLeafIndex,
    nextPageToken: page.nextLeafIndex === undefined ? '' : formatPageToken(scope, String(page.nextLeafIndex)),
  });
}

async function getInclusionProof(notary: Notary, request: pb.GetInclusionProofRequest, context: CallContext) {
  const { reference, treeSize } = parse.parseGetInclusionProof(request);
  context.anchorId = reference.anchorId;
  context.clusterId = reference.clusterId;
  const receipt = await notary.getReceipt(reference, treeSize);
  return create(pb.GetInclusionProofResponseSchema, {
    receipt: {
      leaf: receipt.leaf,
      leafIndex: receipt.leafIndex,
      leafPath: [...receipt.leafPath],
      ...recordProof(receipt),
      checkpoint: receipt.checkpoint,
    },
  });
}

async function batchGetInclusionProofs(
  notary: Notary,
  request: pb.BatchGetInclusionProofsRequest,
  context: CallContext,
) {
  const { clusterId, references, treeSize } = parse.parseBatchGetInclusionProofs(request);
  context.clusterId = clusterId;
  context.leafCount = references.length;
  const { checkpoint, anchors } = await notary.getReceipts(clusterId, references, treeSize);
  return create(pb.BatchGetInclusionProofsResponseSchema, {
    checkpoint,
    anchors: anchors.map((anchor) => ({
      ...recordProof(anchor),
      leaves: anchor.leaves.map(({ leaf, leafIndex, leafPath }) => ({
        leaf,
        leafIndex,
        leafPath: [...leafPath],
      })),
    })),
  });
}

async function getConsistencyProof(
  notary: Notary,
  request: pb.GetConsistencyProofRequest,
  context: CallContext,
) {
  const { clusterId, firstSize, secondSize } = parse.parseGetConsistencyProof(request);
  context.clusterId = clusterId;
  const path = await notary.getConsistencyPath(clusterId, firstSize, secondSize);
  return create(pb.GetConsistencyProofResponseSchema, { consistencyPath: [...path] });
}

async function getCheckpoint(notary: Notary, request: pb.GetCheckpointRequest, context: CallContext) {
  const { clusterId, treeSize } = parse.parseGetCheckpoint(request);
  context.clusterId = clusterId;
  const checkpoint = await notary.getCheckpoint(clusterId, treeSize);
  return create(pb.GetCheckpointResponseSchema, { checkpoint });
}

async function getLog(notary: Notary, maxLeafCount: number, request: pb.GetLogRequest, context: CallContext) {
  const clusterId = parse.parseClusterName(request);
  context.clusterId = clusterId;
  const log = await notary.getLog(clusterId);
  return create(pb.GetLogResponseSchema, {
    clusterId: log.clusterId,
    origin: log.origin,
    keys: log.keys.map(({ vkey, firstSize, lastSize }) => ({
      vkey,
      firstSize: BigInt(firstSize),
      ...(lastSize === undefined ? {} : { lastSize: BigInt(lastSize) }),
    })),
    maxLeafCount,
  });
}

function recordProof({ record, logIndex, recordPath }: RecordProof) {
  return { record, logIndex: BigInt(logIndex), recordPath: [...recordPath] };
}
