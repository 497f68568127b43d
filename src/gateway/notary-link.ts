// What the gateway asks of a notary: a port, so that delivery is tested without a network.

import type { AnchorResponse, Receipt } from '../verify/index.ts';

/** One CreateAnchor call. */
export interface AnchorCall {
  readonly clusterId: string;
  readonly packedLeaves: Uint8Array;
  readonly etcdRevision: bigint;
  readonly requestId: string;
  /** a signed note, verbatim; empty for none */
  readonly knownCheckpoint: string;
}

export type AnchorAnswer = AnchorResponse & { readonly replayed: boolean };

export interface CallLimits {
  /** from now; the call fails with DEADLINE_EXCEEDED after it */
  readonly timeoutMs: number;
  /** the call fails with CANCELLED when it aborts */
  readonly signal: AbortSignal;
}

/**
 * A notary somewhere. Nothing connects before the first call. What calls reject with is an error whose `code` is a gRPC status,
 * with `metadata` that may carry google.rpc details.
 */
export interface NotaryLink {
  createAnchor(call: AnchorCall, limits: CallLimits): Promise<AnchorAnswer>;

  /** The receipt of one leaf against the newest checkpoint: GetInclusionProof. */
  getReceipt(
    leaf: { readonly clusterId: string; readonly anchorId: string; readonly leafIndex: number },
    limits: CallLimits,
  ): Promise<Receipt>;

  /** GetConsistencyProof; sizes are literal. */
  getConsistencyPath(
    sizes: { readonly clusterId: string; readonly firstSize: number; readonly secondSize: number },
    limits: CallLimits,
  ): Promise<readonly Uint8Array[]>;

  /** Lets go of the connection; the next call makes a new one, to the addresses that the name has then. */
  drop(): void;

  /** Ends for good; calls in flight fail with CANCELLED. */
  close(): void;
}
