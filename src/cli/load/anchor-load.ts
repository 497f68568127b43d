import { randomFillSync, randomUUID } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { CreateAnchorRequestSchema, QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { EncodedCall, type Endpoint } from './encoded-call.ts';
import { keepInFlight, type LoadEvents, type Measured, type Pacing } from './keep-in-flight.ts';

export interface AnchorLoad {
  /** Callers are spread over the clusters. */
  readonly clusterIds: readonly string[];
  readonly leavesPerCall: number;
  /** In `packed_leaves` rather than `leaves`. */
  readonly packed: boolean;
}

/** Enough that no two calls in a row carry the same leaves. */
const BATCHES = 2;

/** CreateAnchor, every call with new leaves' worth of random bytes and a request_id of its own. */
export async function loadAnchors(
  endpoints: readonly Endpoint[],
  { clusterIds, leavesPerCall, packed }: AnchorLoad,
  pacing: Pacing,
  events: LoadEvents,
): Promise<Measured> {
  const batches = Array.from({ length: BATCHES }, () => encodeLeaves(leavesPerCall, packed));
  const calls = new EncodedCall(endpoints, QuartermasterNotary.method.createAnchor);
  try {
    return await keepInFlight(
      pacing,
      (caller, turn) => {
        const clusterId = clusterIds[(caller + turn * pacing.inFlight) % clusterIds.length] ?? '';
        const leaves = batches[turn % BATCHES] ?? Buffer.alloc(0);
        return calls.send(anchorRequest(clusterId, leaves), caller);
      },
      events,
    );
  } finally {
    calls.close();
  }
}

/** The encodings of two parts of a message, one after the other, are that of the message (protobuf.dev, "Last One Wins"). */
export function anchorRequest(clusterId: string, encodedLeaves: Buffer): Buffer {
  const named = create(CreateAnchorRequestSchema, { clusterId, requestId: randomUUID() });
  return Buffer.concat([toBinary(CreateAnchorRequestSchema, named), encodedLeaves]);
}

export function encodeLeaves(count: number, packed: boolean): Buffer {
  const packedLeaves = randomFillSync(new Uint8Array(count * 32));
  const leaves = () => Array.from({ length: count }, (_, i) => packedLeaves.subarray(i * 32, i * 32 + 32));
  const part = create(CreateAnchorRequestSchema, packed ? { packedLeaves } : { leaves: leaves() });
  return Buffer.from(toBinary(CreateAnchorRequestSchema, part));
}
