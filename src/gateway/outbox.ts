// Where leaves wait until they are anchored. One small interface, so that how safe they are is a choice: in memory, in a file,
// in the gateway's own Postgres. What it must keep is written here once; each implementation says how.
//
// The life of a leaf: `append` takes it; `take` seals it with its neighbours into a batch; the batch is sent, under its
// request_id, until the notary answers; then `settle` (anchored), `split` (refused, and not alone) or `bury` (refused alone).

/** Leaves that were sealed together: members, order and request_id never change, so that each retry is the same anchor. */
export interface SealedBatch {
  /** UUID in lower case, of version 7: neighbours in the notary's index */
  readonly requestId: string;
  /** revision of the gateway's own store at sealing; 0 where it has none */
  readonly etcdRevision: bigint;
  /** N * 32 bytes, N from 1; the position of a leaf is its leaf_index */
  readonly packedLeaves: Uint8Array;
  /** N of them: what `append` gave out */
  readonly sequences: readonly number[];
  /** N of them: as given to `append` */
  readonly eventIds: readonly (string | undefined)[];
  /** when the oldest of the leaves was taken, in milliseconds since the epoch */
  readonly enqueuedAtMs: number;
}

/** How the notary anchored a batch. */
export interface BatchAnchor {
  readonly anchorId: string;
  /** UUID of the cluster in whose log it is: the gateway's own, or its successor */
  readonly clusterId: string;
  readonly logIndex: number;
  /** the newest verified checkpoint of that log, a signed note, verbatim; absent where no keys are pinned */
  readonly checkpoint?: string;
}

/** Why the notary will never take a batch. */
export interface Refusal {
  /** name of the gRPC status, for example `INVALID_ARGUMENT` */
  readonly status: string;
  /** the notary's `ErrorInfo.reason`; empty where it gave none */
  readonly reason: string;
  readonly message: string;
}

/** A batch that was refused for good: one leaf, or several that were refused for a reason of none of them. */
export interface DeadLetter {
  /** the request_id of the batch: names it in `replay` */
  readonly id: string;
  readonly refusal: Refusal;
  readonly buriedAtMs: number;
  readonly leaves: readonly { readonly leaf: Uint8Array; readonly eventId: string | undefined }[];
}

/** A leaf that is not anchored yet, and where it stands. */
export interface UnanchoredLeaf {
  /** empty where it is `missing` */
  readonly leaf: Uint8Array;
  readonly eventId: string | undefined;
  /** `missing`: the gateway's own table has the event, and no outbox has its leaf */
  readonly state: 'queued' | 'sealed' | 'dead' | 'missing';
  readonly enqueuedAtMs: number | undefined;
}

export interface Backlog {
  /** leaves neither anchored nor buried, sealed ones included */
  readonly leaves: number;
  /** those of them that are not sealed yet */
  readonly unsealed: number;
  /** batches sealed and not answered, by whomever they are sent */
  readonly batches: number;
  /** leaves in the dead-letter store */
  readonly deadLeaves: number;
  /** when the oldest leaf was taken, in milliseconds since the epoch; undefined where there is none */
  readonly oldestAtMs: number | undefined;
}

/** What the gateway tells its outbox, and lends it. */
export interface OutboxContext {
  /** UUID in lower case */
  readonly clusterId: string;
  readonly now: () => number;
  readonly newRequestId: () => string;
  readonly etcdRevision: () => bigint;
  readonly log: import('./logger.ts').GatewayLogger;
  /** A named place in the code was reached: lets a test kill the process there. */
  readonly reached: import('./environment.ts').Environment['reached'];
}

/**
 * Everything that waits for the notary. Every method rejects with a {@link GatewayError}: OUTBOX_FAILED where the store cannot
 * be read or written, in which case nothing has changed or what changed is found at the next `open`.
 */
export interface Outbox {
  /** `memory`, `journal`, `postgres`: for logs and metrics */
  readonly kind: string;
  /** what a resolved `submit` survives, in words for a log line */
  readonly promise: string;
  /** Others fill or drain it too, so it must be looked at without being told. */
  readonly isShared: boolean;

  /**
   * Called before anything else, once, and again only where it has failed. Whatever an earlier process had sealed comes back from `take`, as it was.
   *
   * @returns the newest checkpoints kept by `settle`, at most one for each origin
   * @throws {GatewayError} OUTBOX_IN_USE, OUTBOX_FAILED
   */
  open(context: OutboxContext): Promise<{ readonly checkpoints: readonly string[] }>;

  /** In place of `open`, where nothing is ever to be sent: what others put in by ways of their own is not kept either. */
  disable?(): void;

  /**
   * Takes a leaf, and gives its sequence: later ones are higher. A promise of it resolves when the leaf is as safe as this outbox
   * promises; what is so at once may be given as a number.
   *
   * @param leaf 32 bytes; copied, the caller may reuse them
   * @throws {GatewayError} OUTBOX_FULL, OUTBOX_FAILED: the leaf was not taken
   */
  append(leaf: Uint8Array, eventId: string | undefined): number | Promise<number>;

  /**
   * The next batch to send, oldest first: one that is sealed and that nobody has in hand, else a new one of the oldest leaves,
   * sealed for good before this resolves. The caller has it in hand until it settles, splits, buries or releases it.
   *
   * @param maxLeaves of a new batch
   * @param mayBePartial whether to seal fewer than `maxLeaves`; otherwise undefined comes back until there are as many
   */
  take(maxLeaves: number, mayBePartial: boolean): Promise<SealedBatch | undefined>;

  /** The batch is anchored: forgets it, keeps the checkpoint. @returns whether it was still there (another may have settled it) */
  settle(batch: SealedBatch, anchor: BatchAnchor): Promise<boolean>;

  /**
   * Replaces a refused batch by smaller ones, in one step: they are in hand of nobody and come from `take` before all newer
   * leaves, in this order.
   *
   * @param parts the same leaves in the same order, with request_ids of their own
   * @returns whether it was still there
   */
  split(batch: SealedBatch, parts: readonly SealedBatch[]): Promise<boolean>;

  /** Puts a batch into the dead-letter store, whole, under its request_id. @returns whether it was still there */
  bury(batch: SealedBatch, refusal: Refusal): Promise<boolean>;

  /** Puts a batch back, for whoever takes next: it comes before all newer ones. */
  release(batch: SealedBatch): Promise<void>;

  /** The dead-letter store, oldest first. */
  deadLetters(): AsyncIterable<DeadLetter>;

  /**
   * Takes a batch out of the dead-letter store, to be sent again as itself: had an earlier try been anchored after all, this
   * finds that anchor.
   *
   * @returns whether it was there
   */
  revive(id: string): Promise<boolean>;

  /** Forgets a dead letter, whose leaves are then in no outbox and in no anchor. @returns whether it was there */
  discard(id: string): Promise<boolean>;

  /** Keeps what proves that a notary contradicted itself. @returns where, for a person */
  keepEvidence(evidence: string): Promise<string>;

  backlog(): Promise<Backlog>;

  /** All leaves without an anchor, oldest first. */
  unanchored(): AsyncIterable<UnanchoredLeaf>;

  /** Where others settle batches too: what became of these leaves. Those that still wait are left out. */
  settled?(sequences: readonly number[]): Promise<ReadonlyMap<number, SettledElsewhere>>;

  /** Puts back what is in hand and lets go of files and connections of its own. */
  close(): Promise<void>;
}

/** A leaf that another process brought home, or buried. */
export type SettledElsewhere =
  | { readonly anchorId: string; readonly leafIndex: number }
  | { readonly refusal: Refusal };
