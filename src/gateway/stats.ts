/** Where the gateway stands; the counters count since it was made. Times in milliseconds since the epoch. */
export interface GatewayStats {
  /** kind of the outbox: `memory`, `journal`, `postgres` */
  readonly outbox: string;
  /** leaves neither anchored nor refused; with a shared outbox those of all its gateways */
  readonly queuedLeaves: number;
  /** sealed batches without an answer */
  readonly queuedBatches: number;
  /** how long the oldest leaf has waited; 0 where there is none */
  readonly oldestAgeMs: number;
  /** leaves in the dead-letter store */
  readonly deadLeaves: number;
  /** batches that this process has in hand */
  readonly inFlightBatches: number;
  /** callers of `submit` that wait for room */
  readonly blockedSubmits: number;

  /** by `submit`; those enqueued in transactions of the gateway are not among them */
  readonly submittedLeaves: number;
  /** submits that ended in OUTBOX_FULL or OUTBOX_FAILED */
  readonly rejectedLeaves: number;
  readonly anchoredLeaves: number;
  readonly anchoredBatches: number;
  readonly refusedLeaves: number;
  /** calls of CreateAnchor */
  readonly attempts: number;
  /** those of them that were not the first of their batch in this process */
  readonly retries: number;
  readonly splits: number;
  readonly alarms: number;

  /** since when the notary has not taken batches; undefined while it does */
  readonly awaySinceMs: number | undefined;
  /** an alarm has stopped submissions */
  readonly isStopped: boolean;
  readonly lastError: LastError | undefined;
}

export interface LastError {
  readonly atMs: number;
  /** name of a gRPC status, or a code of GatewayError or VerificationError */
  readonly code: string;
  readonly message: string;
}
