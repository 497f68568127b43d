/**
 * The storage port: what the domain asks of a database. Implemented by `src/postgres`.
 *
 * History (heads, anchors, leaves, log nodes, keys) is insert-only; of a cluster only its state changes. Every method
 * reads from or writes to the primary unless it says otherwise, and fails with a `StorageError`.
 */

/** active: appends; frozen: by an operator; recovering: the stored head may be older than what was acknowledged; sealed: final. */
export type ClusterState = 'active' | 'frozen' | 'recovering' | 'sealed';

export interface Cluster {
  readonly clusterId: string;
  readonly displayName: string;
  readonly origin: string;
  readonly state: ClusterState;
  readonly stateReason: string;
  /** Grows by one with every change of state. */
  readonly stateVersion: number;
  /** The log size that a thaw from `recovering` confirmed, undefined where there was none. */
  readonly confirmedSize: number | undefined;
  readonly requestId: string | undefined;
  readonly predecessorId: string | undefined;
  readonly successorId: string | undefined;
  /** While it is recovering: why it was frozen before, undefined where it was active. A thaw brings that back. */
  readonly frozenReason: string | undefined;
  readonly createdAtMs: number;
}

/** One committed size of a cluster's log. */
export interface Head {
  readonly size: number;
  readonly root: Uint8Array;
  /** undefined at genesis only. */
  readonly prevSize: number | undefined;
  /** Root of the head of `prevSize`: read with it (a join), stored once. undefined at genesis only. */
  readonly prevRoot: Uint8Array | undefined;
  /** HMAC-SHA-256 over `headMacMessage`, 32 bytes. */
  readonly mac: Uint8Array;
  /** Epoch of the mac's key. */
  readonly epoch: number;
}

/** A log entry: an anchor, or a record without leaves (a succession record), which has no anchorId and no root. */
export interface Entry {
  readonly logIndex: number;
  readonly anchorId: string | undefined;
  readonly leafCount: number;
  readonly root: Uint8Array | undefined;
  readonly requestId: string | undefined;
  readonly record: Uint8Array;
  /** RFC 6962 leaf hash of `record`. */
  readonly recordHash: Uint8Array;
  readonly createdAtMs: number;
}

export interface EntryOfCluster extends Entry {
  readonly clusterId: string;
}

/** The leaves of one anchor as stored: N * 32 bytes, and the complete-subtree hashes of `merkle/batch`. */
export interface StoredBatch {
  readonly anchorId: string;
  readonly leaves: Uint8Array;
  readonly nodes: Uint8Array;
}

/** Hash of the complete subtree of 256^level records number `index`, level >= 1. */
export interface LogNode {
  readonly level: number;
  readonly index: number;
  readonly hash: Uint8Array;
}

export interface LogKeyRow {
  readonly epoch: number;
  /** C2SP signature type: 1 is Ed25519. */
  readonly type: number;
  readonly vkey: string;
  readonly seedId: string;
  readonly firstSize: number;
  readonly lastSize: number | undefined;
}

/** Everything one compare-and-set append writes. */
export interface AppendGroup {
  readonly clusterId: string;
  readonly oldHead: Pick<Head, 'size' | 'root'>;
  readonly newHead: Head;
  readonly entries: readonly Entry[];
  /** Leaves that are not stored yet; big ones were stored before by `storeBatch`. */
  readonly batches: readonly StoredBatch[];
  /** The anchors of those big ones: without their leaves nothing is appended. */
  readonly storedBatches: readonly string[];
  readonly logNodes: readonly LogNode[];
}

/** What became of an append. Only `appended` and `unknown` can have written anything. */
export type AppendOutcome =
  | { readonly kind: 'appended' }
  /** Zero heads: stale, missing or racing head, a state other than active, or request ids that exist already. */
  | { readonly kind: 'refused'; readonly knownRequestIds: readonly string[] }
  /** Leaves that `storeBatch` stored are gone: a failover took them back. */
  | { readonly kind: 'batchesMissing'; readonly anchorIds: readonly string[] }
  /** 23505, 40001, 40P01. `duplicateKey` is true for 23505: a row of this group's keys exists. */
  | { readonly kind: 'conflict'; readonly duplicateKey: boolean; readonly cause: unknown }
  /** Classes 22, 23 and 54: these bytes cannot be stored. */
  | { readonly kind: 'rejected'; readonly cause: unknown }
  /** Nothing was written and the database cannot take it now (25006, classes 53, 57P03, 58, no connection). */
  | { readonly kind: 'unavailable'; readonly cause: unknown }
  /** Sent, but the answer was lost, cancelled, or came with a 01000 "committed locally" notice. */
  | { readonly kind: 'unknown'; readonly cause: unknown };

/** A cluster and its newest head in one snapshot of the primary. */
export interface LogSnapshot {
  readonly cluster: Cluster;
  readonly head: Head;
  /** Created-at of the newest entry, undefined for the empty log. */
  readonly lastCreatedAtMs: number | undefined;
}

/** What a replica wants to know once it has the lock, asked ahead: every question under it makes the others wait. */
export interface LockedQuestion {
  /** The size that it knows. */
  readonly fromSize: number;
  readonly requestIds: readonly string[];
}

export interface LockedLog extends LogSnapshot {
  /** Packed hashes of the first records from `fromSize` on, at most `MAX_CATCH_UP`. */
  readonly newRecordHashes: Uint8Array;
  /** Those of the request ids that are anchored. */
  readonly knownRequestIds: ReadonlySet<string>;
}

/** Records that one reads of another's appends at once. */
export const MAX_CATCH_UP = 4096;

export interface NewCluster {
  readonly cluster: Pick<
    Cluster,
    'clusterId' | 'displayName' | 'origin' | 'requestId' | 'predecessorId' | 'createdAtMs'
  >;
  /** Size 0. */
  readonly genesis: Head;
  readonly keys: readonly LogKeyRow[];
  /** The succession entry of a successor, appended to genesis in the same transaction. */
  readonly first: AppendGroup | undefined;
  /** Seals a predecessor that is `recovering`, in the same transaction; without it the predecessor has to be sealed. */
  readonly giveUp?: { readonly reason: string; readonly expectedVersion: number } | undefined;
}

export type CreateClusterOutcome =
  | { readonly kind: 'created'; readonly cluster: Cluster }
  /** The request id made this cluster earlier. */
  | { readonly kind: 'replayed'; readonly cluster: Cluster }
  | { readonly kind: 'exists' }
  /** The predecessor is unknown, has a successor, or is not (any more) in the state that was named. */
  | { readonly kind: 'predecessorRefused' };

/** To `recovering` the reason of a frozen cluster is kept as its `frozenReason`, which every other change clears. */
export interface StateChange {
  readonly clusterId: string;
  readonly from: readonly ClusterState[];
  readonly to: ClusterState;
  readonly reason: string;
  /** Only if the state's version is still this one. */
  readonly expectedVersion?: number | undefined;
  readonly confirmedSize?: number | undefined;
}

/** `count` hashes of level `level` from number `first` on: record hashes at level 0, log nodes above. */
export interface LogTileRange {
  readonly level: number;
  readonly first: number;
  readonly count: number;
}

/** `count` hashes (32 bytes each) of one stored batch from number `first` on. */
export interface BatchRange {
  readonly anchorId: string;
  readonly column: 'leaves' | 'nodes';
  readonly first: number;
  readonly count: number;
}

export interface Storage {
  createCluster(genesis: NewCluster): Promise<CreateClusterOutcome>;
  readCluster(clusterId: string): Promise<Cluster | undefined>;
  /** By cluster_id, after `afterClusterId`. */
  listClusters(afterClusterId: string | undefined, limit: number): Promise<readonly Cluster[]>;
  readKeys(clusterId: string): Promise<readonly LogKeyRow[]>;
  /** undefined where the cluster is unknown or the change does not apply (any more). Returns after appends in flight have ended. */
  changeState(change: StateChange): Promise<Cluster | undefined>;

  /** From the primary only (`NOT pg_is_in_recovery()`), in one statement; undefined where the cluster is unknown. */
  readLog(clusterId: string): Promise<LogSnapshot | undefined>;
  readHead(clusterId: string, size: number): Promise<Head | undefined>;
  /** The head that followed `prevSize`. */
  readHeadAfter(clusterId: string, prevSize: number): Promise<Head | undefined>;
  /**
   * Writes WAL and commits, so that all that was visible before is as durable as the database promises: asked of one head, in
   * the same transaction, since the database that answers now may be another one than it was read from.
   *
   * @returns whether the head is there
   */
  confirmDurable(clusterId: string, head: Pick<Head, 'size' | 'root'>): Promise<boolean>;
  /** Packed hashes, one answer a range, in order. A missing row is a `StorageError` CORRUPT. */
  readLogTiles(clusterId: string, ranges: readonly LogTileRange[]): Promise<readonly Uint8Array[]>;

  /** Never cancelled, never throws for what the database answers or fails to answer in time (`unknown`). */
  append(group: AppendGroup): Promise<AppendOutcome>;
  /**
   * The same under the cluster's row lock, for replicas that race: locks, reads the log, and lets `build` make the group from
   * what it read; undefined from `build` ends without writing, as `{ kind: 'refused', knownRequestIds: [] }`.
   */
  appendLocked(
    clusterId: string,
    wanted: LockedQuestion,
    build: (locked: LockedLog) => AppendGroup | undefined,
  ): Promise<AppendOutcome>;
  /**
   * Stores a big batch before its anchor; again is harmless. A signal that aborts before the batch is sent ends it with
   * nothing stored.
   */
  storeBatch(clusterId: string, batch: StoredBatch, signal: AbortSignal): Promise<void>;

  /** With `clusterId` undefined over all clusters. */
  findEntry(anchorId: string, clusterId: string | undefined): Promise<EntryOfCluster | undefined>;
  findEntries(clusterId: string, anchorIds: readonly string[]): Promise<readonly Entry[]>;
  findEntriesByRequestId(clusterId: string, requestIds: readonly string[]): Promise<readonly Entry[]>;
  /** By log_index from `fromLogIndex` on. */
  listEntries(clusterId: string, fromLogIndex: number, limit: number): Promise<readonly Entry[]>;
  /** The first log_index whose created_at is at or after the time, `undefined` where there is none (created_at never goes back). */
  firstLogIndexSince(clusterId: string, createdAtMs: number): Promise<number | undefined>;
  /** Packed bytes, one answer a range, in order. A missing batch or a short column is a `StorageError` CORRUPT. */
  readBatchRanges(clusterId: string, ranges: readonly BatchRange[]): Promise<readonly Uint8Array[]>;
  /** By size, after `afterSize`. */
  listHeads(clusterId: string, afterSize: number | undefined, limit: number): Promise<readonly Head[]>;

  /** Answers when the database answers and is a primary. */
  ping(): Promise<void>;
}

export type StorageErrorCode =
  /** No connection, a standby, out of resources, shutting down: try again later. */
  | 'UNAVAILABLE'
  /** Rows contradict one another: somebody changed history, or a disk did. */
  | 'CORRUPT'
  /** Anything else: a defect. */
  | 'INTERNAL';

export class StorageError extends Error {
  override readonly name = 'StorageError';
  readonly code: StorageErrorCode;
  constructor(code: StorageErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
