// CreateAnchor as bytes.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  CreateAnchorRequestSchema,
  type CreateAnchorResponse,
  CreateAnchorResponseSchema,
} from '#gen/quartermaster/v1/notary_pb.js';
import { asBuffer } from '../rpc/service-definition.ts';
import { encodeCreateAnchor } from '../server/create-anchor-codec.ts';
import { MAX_LISTED_LEAF_INDICES } from '../server/limits.ts';
import type { SpooledCall } from './spooled-call.ts';

const REQUEST_ID_FIELD = 4;

/** The caller's own message with a request_id at its end: the last one of a field counts, and the rest stays as it is. */
export function withRequestId(message: Uint8Array, requestId: string): Buffer {
  const field = new BinaryWriter().tag(REQUEST_ID_FIELD, WireType.LengthDelimited).string(requestId).finish();
  return Buffer.concat([message, field]);
}

export function encodeCall(call: Omit<SpooledCall, 'givenRequestId'>): Buffer {
  const { clusterId, packedLeaves, etcdRevision, requestId, knownCheckpoint } = call;
  const request = { clusterId, packedLeaves, etcdRevision, requestId, knownCheckpoint };
  return asBuffer(toBinary(CreateAnchorRequestSchema, create(CreateAnchorRequestSchema, request)));
}

export function decodeAnswer(message: Uint8Array): CreateAnchorResponse {
  return fromBinary(CreateAnchorResponseSchema, message);
}

/**
 * The answer to a call with packed_leaves, for a caller that sent `leaves` and expects their positions.
 *
 * Fields may come in any order, so that the list is appended to the notary's own bytes.
 */
export function withLeafIndices(answer: Buffer, leafCount: number): Buffer {
  if (leafCount > MAX_LISTED_LEAF_INDICES) return answer;
  const listed = encodeCreateAnchor({ response: NO_FIELDS, listedLeafCount: leafCount });
  return Buffer.concat([answer, listed]);
}

const NO_FIELDS = create(CreateAnchorResponseSchema);

/** Without the path from a checkpoint that the caller did not present. */
export function withoutConsistencyPath(answer: CreateAnchorResponse): Buffer {
  return asBuffer(toBinary(CreateAnchorResponseSchema, { ...answer, consistencyPath: [] }));
}
