import type { ChannelCredentials } from '@grpc/grpc-js';
import type { AnchoredBatch } from './anchored.ts';
import type { GatewayLogger } from './logger.ts';
import type { Meter } from './metrics.ts';
import type { DeadLetter, Outbox } from './outbox.ts';

/** What {@link createGateway} takes. Only `endpoint` and `clusterId` are required. */
export interface GatewayOptions {
  /** Where the notary is: `host:port`, or any target of gRPC (`dns:///notary.example.org:50051`, `unix:/run/notary.sock`). */
  readonly endpoint: string;

  /** UUID of the cluster. Empty disables submission: nothing is kept and nothing is sent. */
  readonly clusterId: string;

  /** Where leaves wait. Default: `memoryOutbox()`, which loses them with the process. */
  readonly outbox?: Outbox | undefined;

  /** Default: plain text. `ChannelCredentials.createSsl()` of `@grpc/grpc-js` for TLS. */
  readonly credentials?: ChannelCredentials | undefined;

  readonly batch?: BatchOptions | undefined;
  readonly retry?: RetryOptions | undefined;

  /** Without it the notary is believed. */
  readonly verification?: VerificationOptions | undefined;

  /** What `submit` does while the outbox is full: rejects with OUTBOX_FULL at once (default), or waits for room. */
  readonly whenFull?: 'reject' | 'block' | undefined;

  /** Revision of the gateway's own store, asked when a batch is sealed; goes into the record. Default: 0. */
  readonly etcdRevision?: (() => bigint) | undefined;

  /**
   * Told of each batch that is anchored, before the outbox forgets it; the next one waits until this has returned. If it throws
   * it is called again later: keep it idempotent. After a crash a batch may be told a second time.
   */
  readonly onAnchored?: ((batch: AnchoredBatch) => void | Promise<void>) | undefined;

  /** Told of each batch that the notary refuses for good, after it went to the dead-letter store. */
  readonly onDeadLetter?: ((letter: DeadLetter) => void | Promise<void>) | undefined;

  /** For example a pino logger. Default: warnings and errors as lines of JSON on stderr. */
  readonly logger?: GatewayLogger | undefined;

  /** A meter of OpenTelemetry, as it is. For Prometheus see `gateway.prometheus()`. */
  readonly metrics?: Meter | undefined;
}

/** When a batch is sealed: at whatever comes first. */
export interface BatchOptions {
  /** Leaves of a batch, 1 to 1,048,576. Default: 10,000. */
  readonly maxLeaves?: number | undefined;
  /** Bytes of leaves of a batch, 32 to 33,554,432 (32 bytes a leaf). Default: 1 MiB. */
  readonly maxBytes?: number | undefined;
  /** How long a leaf waits for company, 1 to 3,600,000 ms. Default: 500. A shared outbox is looked at as often. */
  readonly flushIntervalMs?: number | undefined;
  /** Batches in flight at once, 1 to 64. Default: 1, which keeps the order of the leaves in the log. */
  readonly inFlight?: number | undefined;
}

/** How calls are repeated. What can succeed later is repeated without end. */
export interface RetryOptions {
  /** How long one call may take, 100 to 3,600,000 ms. Default: 60,000. */
  readonly attemptTimeoutMs?: number | undefined;
  /** Most of the first wait, 1 to 3,600,000 ms; doubles with each failure. Default: 250. */
  readonly minDelayMs?: number | undefined;
  /** Most of any wait, minDelayMs to 3,600,000 ms. Default: 120,000. */
  readonly maxDelayMs?: number | undefined;
}

/** Whom to believe. */
export interface VerificationOptions {
  /** Pinned verifier keys (vkeys) of the cluster's log, got out of band; of its successors too. At least one. */
  readonly keys: readonly string[];
}

/** The notary is caught in a lie, or says itself that its log lost data. */
export interface Alarm {
  /** which check failed: a code of `VerificationError`, or `DATA_LOSS` where the notary says so itself */
  readonly code: string;
  readonly message: string;
  /** where the evidence was saved, for a person; undefined where it could not be */
  readonly evidence: string | undefined;
  /** Whether submissions stopped. They go on in a new process, or after `gateway.resume()`. */
  readonly stopped: boolean;
}
