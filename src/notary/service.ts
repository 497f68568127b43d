import type { Cluster, EntryOfCluster } from './storage.ts';

/** What the notary does for gateways and verifiers. All ids are lower-case UUIDs, all sizes safe integers; hashes are 32 bytes. */
export interface Notary {
  /** Answers after the commit. Every failure is a `NotaryError`. */
  createAnchor(submission: Submission): Promise<AnchorAnswer>;
  getAnchor(anchorId: string, clusterId: string | undefined): Promise<EntryOfCluster>;
  listAnchors(query: AnchorQuery): Promise<AnchorPage>;
  listLeaves(query: LeafQuery): Promise<LeafPage>;
  /** `treeSize` 0 is the latest. */
  getReceipt(
    reference: LeafReference & { readonly clusterId: string | undefined },
    treeSize: number,
  ): Promise<Receipt>;
  /** All or nothing, under one checkpoint; anchors in order of first mention, leaves in order of mention. */
  getReceipts(
    clusterId: string,
    references: readonly LeafReference[],
    treeSize: number,
  ): Promise<BatchReceipts>;
  getConsistencyPath(
    clusterId: string,
    firstSize: number,
    secondSize: number,
  ): Promise<readonly Uint8Array[]>;
  getCheckpoint(clusterId: string, treeSize: number): Promise<string>;
  /** The current checkpoint at once, then the newest, at most one a second, until the signal aborts or the notary closes. */
  watchCheckpoints(clusterId: string, signal: AbortSignal): AsyncIterable<string>;
  getLog(clusterId: string): Promise<LogDescription>;
  /** Takes no more submissions, answers those it has within the time, then resolves. */
  drain(timeoutMs: number): Promise<void>;
}

/** What the notary does for operators. */
export interface Registry {
  createCluster(request: CreateCluster): Promise<Cluster>;
  getCluster(clusterId: string): Promise<Cluster>;
  listClusters(afterClusterId: string | undefined, limit: number): Promise<readonly Cluster[]>;
  freezeCluster(clusterId: string, reason: string): Promise<Cluster>;
  /** `confirmedCheckpoint` is needed to leave `recovering`. */
  thawCluster(clusterId: string, reason: string, confirmedCheckpoint: string): Promise<Cluster>;
}

export interface CreateCluster {
  readonly clusterId: string | undefined;
  readonly displayName: string;
  readonly requestId: string | undefined;
  readonly predecessorId: string | undefined;
}

export interface Submission {
  readonly clusterId: string;
  /** N * 32 bytes, N >= 1. Not changed by anyone until the answer. */
  readonly packedLeaves: Uint8Array;
  readonly etcdRevision: bigint;
  readonly requestId: string | undefined;
  /** Verbatim, as the caller sent it; empty for none. */
  readonly knownCheckpoint: string;
  /** Name of the authenticated caller, <= 256 bytes of UTF-8. */
  readonly submitter: string | undefined;
  /** Aborts when the caller is gone or its deadline passed; honoured until the anchor is sequenced. */
  readonly signal: AbortSignal;
}

export interface AnchorAnswer {
  readonly anchorId: string;
  readonly leafCount: number;
  readonly record: Uint8Array;
  readonly logIndex: number;
  readonly checkpoint: string;
  readonly recordPath: readonly Uint8Array[];
  readonly consistencyPath: readonly Uint8Array[];
  readonly replayed: boolean;
}

export interface AnchorQuery {
  readonly clusterId: string;
  readonly fromLogIndex: number;
  readonly limit: number;
  /** Inclusive. */
  readonly startMs: number | undefined;
  /** Exclusive. */
  readonly endMs: number | undefined;
}

export interface AnchorPage {
  readonly entries: readonly EntryOfCluster[];
  /** undefined at the end. */
  readonly nextLogIndex: number | undefined;
}

export interface LeafQuery {
  readonly anchorId: string;
  readonly clusterId: string | undefined;
  readonly firstLeafIndex: number;
  readonly limit: number;
}

export interface LeafPage {
  readonly packedLeaves: Uint8Array;
  readonly firstLeafIndex: number;
  readonly nextLeafIndex: number | undefined;
}

export interface LeafReference {
  readonly anchorId: string;
  readonly leafIndex: number;
}

export interface LeafProof {
  readonly leaf: Uint8Array;
  readonly leafIndex: number;
  readonly leafPath: readonly Uint8Array[];
}

export interface RecordProof {
  readonly record: Uint8Array;
  readonly logIndex: number;
  readonly recordPath: readonly Uint8Array[];
}

export interface Receipt extends LeafProof, RecordProof {
  readonly checkpoint: string;
}

export interface BatchReceipts {
  readonly checkpoint: string;
  readonly anchors: readonly (RecordProof & { readonly leaves: readonly LeafProof[] })[];
}

export interface LogDescription {
  readonly clusterId: string;
  readonly origin: string;
  /** Ed25519 log keys, each once. */
  readonly keys: readonly {
    readonly vkey: string;
    readonly firstSize: number;
    readonly lastSize: number | undefined;
  }[];
}
