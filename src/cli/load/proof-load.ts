import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  type Anchor,
  BatchGetInclusionProofsRequestSchema,
  GetInclusionProofRequestSchema,
  QuartermasterNotary,
} from '#gen/quartermaster/v1/notary_pb.js';
import { createClient } from '../../rpc/client.ts';
import { methodPath } from '../../rpc/service-definition.ts';
import { EncodedCall, type Endpoint } from './encoded-call.ts';
import { keepInFlight, type LoadEvents, type Measured, type Pacing } from './keep-in-flight.ts';

export interface ProofLoad {
  readonly clusterIds: readonly string[];
  /** 1: GetInclusionProof; more: BatchGetInclusionProofs. */
  readonly proofsPerCall: number;
}

/** Places in a log's time from which anchors are taken, and how many from each. */
const PLACES = 10;
const ANCHORS_PER_PLACE = 1000;

/** Proofs of random leaves of random anchors that are in the logs already. Writes nothing. @throws where there are none */
export async function loadProofs(
  endpoints: readonly Endpoint[],
  { clusterIds, proofsPerCall }: ProofLoad,
  pacing: Pacing,
  events: LoadEvents,
): Promise<Measured> {
  const [first] = endpoints;
  if (first === undefined) throw new Error('no endpoint to call');
  const logs: (readonly Anchor[])[] = [];
  for (const clusterId of clusterIds) logs.push(await sampleAnchors(first, clusterId));
  const { getInclusionProof, batchGetInclusionProofs } = QuartermasterNotary.method;
  const method = proofsPerCall === 1 ? getInclusionProof : batchGetInclusionProofs;
  const calls = new EncodedCall(endpoints, methodPath(method));
  const encode = proofsPerCall === 1 ? oneProof : batchOfProofs;
  try {
    return await keepInFlight(
      pacing,
      (caller, turn) => {
        const anchors = logs[(caller + turn * pacing.inFlight) % logs.length] ?? [];
        return calls.send(Buffer.from(encode(anchors, proofsPerCall)), caller);
      },
      events,
    );
  } finally {
    calls.close();
  }
}

function oneProof(anchors: readonly Anchor[]): Uint8Array {
  const { anchorId, clusterId, leafCount } = anyOf(anchors);
  const leafIndex = Math.floor(Math.random() * leafCount);
  return toBinary(
    GetInclusionProofRequestSchema,
    create(GetInclusionProofRequestSchema, { anchorId, clusterId, leafIndex }),
  );
}

function batchOfProofs(anchors: readonly Anchor[], count: number): Uint8Array {
  const references = Array.from({ length: count }, () => {
    const { anchorId, leafCount } = anyOf(anchors);
    return { anchorId, leafIndex: Math.floor(Math.random() * leafCount) };
  });
  const { clusterId } = anyOf(anchors);
  return toBinary(
    BatchGetInclusionProofsRequestSchema,
    create(BatchGetInclusionProofsRequestSchema, { clusterId, references }),
  );
}

function anyOf(anchors: readonly Anchor[]): Anchor {
  const anchor = anchors[Math.floor(Math.random() * anchors.length)];
  if (anchor === undefined) throw new Error('the log has no anchors to prove');
  return anchor;
}

/** Anchors from all over a log's time, since those of one page lie side by side in the database. */
async function sampleAnchors({ address, credentials }: Endpoint, clusterId: string): Promise<Anchor[]> {
  const notary = createClient(QuartermasterNotary, address, credentials);
  try {
    const { anchors } = await notary.listAnchors({ clusterId, pageSize: ANCHORS_PER_PLACE });
    const sample = [...anchors];
    const firstMs = timeOf(anchors[0]);
    const spanMs = Date.now() - firstMs;
    for (let place = 1; place < PLACES && anchors.length === ANCHORS_PER_PLACE; place++) {
      const startTime = timestampFromMs(firstMs + Math.floor((spanMs * place) / PLACES));
      const page = await notary.listAnchors({ clusterId, startTime, pageSize: ANCHORS_PER_PLACE });
      sample.push(...page.anchors);
    }
    return sample;
  } finally {
    notary.close();
  }
}

function timeOf(anchor: Anchor | undefined): number {
  return anchor?.createTime === undefined ? Date.now() : timestampMs(anchor.createTime);
}
