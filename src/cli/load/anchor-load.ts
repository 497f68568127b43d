import { randomFillSync, randomUUID } from 'node:crypto';
import { create, toBinary } from '@bufbuild/protobuf';
import { CreateAnchorRequestSchema, QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { methodPath } from '../../rpc/service-definition.ts';
import { EncodedCall, type Endpoint } from './encoded-call.ts';
import { keepInFlight, type LoadEvents, type Measured, type Pacing } from './keep-in-flight.ts';

export interface AnchorLoad {
  /** Callers are spread over the clusters. */
  readonly clusterIds: readonly string[];
  readonly leavesPerCall: number;
  /** In `packed_leaves` rather than `leaves`. */
  readonly packed: boolean;
}

/** CreateAnchor with random leaves, every call with a request_id of its own. */
export async function loadAnchors(
  endpoints: readonly Endpoint[],
  { clusterIds, leavesPerCall, packed }: AnchorLoad,
  pacing: Pacing,
  events: LoadEvents,
): Promise<Measured> {
  const requests = new AnchorRequests(clusterIds, leavesPerCall, packed);
  const calls = new EncodedCall(endpoints, methodPath(QuartermasterNotary.method.createAnchor));
  try {
    return await keepInFlight(
      pacing,
      (caller, turn) => calls.send(requests.next(caller + turn * pacing.inFlight), caller),
      events,
    );
  } finally {
    calls.close();
  }
}

/** Enough that no two calls in a row carry the same leaves. */
const BATCHES = 2;
/** Where a request_id goes: 36 bytes that nothing else in a request is. */
const PLACEHOLDER = '########-####-####-####-############';

/** CreateAnchor requests that are encoded but for their request_id. */
export class AnchorRequests {
  readonly #heads: readonly Buffer[];
  readonly #batches: readonly Buffer[];

  constructor(clusterIds: readonly string[], leavesPerCall: number, packed: boolean) {
    this.#heads = clusterIds.map((clusterId) => encode({ clusterId, requestId: PLACEHOLDER }));
    this.#batches = Array.from({ length: BATCHES }, () => encodeLeaves(leavesPerCall, packed));
  }

  /** The encodings of two parts of a message, one after the other, are one of the message (protobuf.dev, "Last One Wins"). */
  next(number: number): Buffer {
    const head = this.#heads[number % this.#heads.length] ?? Buffer.alloc(0);
    const leaves = this.#batches[number % BATCHES] ?? Buffer.alloc(0);
    const request = Buffer.concat([head, leaves]);
    request.write(randomUUID(), head.indexOf(PLACEHOLDER), 'latin1');
    return request;
  }
}

function encodeLeaves(count: number, packed: boolean): Buffer {
  const packedLeaves = randomFillSync(new Uint8Array(count * 32));
  if (packed) return encode({ packedLeaves });
  return encode({
    leaves: Array.from({ length: count }, (_, i) => packedLeaves.subarray(i * 32, i * 32 + 32)),
  });
}

function encode(fields: Parameters<typeof create<typeof CreateAnchorRequestSchema>>[1]): Buffer {
  return Buffer.from(toBinary(CreateAnchorRequestSchema, create(CreateAnchorRequestSchema, fields)));
}
