// The gateway client: brings the digests of events to a notary, whatever happens to either.

export type { AnchoredBatch, AnchoredLeaf } from './anchored.ts';
export { commitEvent, type EventCommitment, hashEvent } from './commit-event.ts';
export { createGateway } from './create-gateway.ts';
export { GatewayError, type GatewayErrorCode } from './error.ts';
export { fetchReceipt, type ReceiptRequest } from './fetch-receipt.ts';
export type { Deadline, Gateway, Leftover } from './gateway.ts';
export type { JournalOptions } from './journal/journal-options.ts';
export { journalOutbox } from './journal/journal-outbox.ts';
export type { LeafHandle } from './leaf-handle.ts';
export type { GatewayLogger } from './logger.ts';
export { type MemoryOutboxOptions, memoryOutbox } from './memory-outbox.ts';
export type { InstrumentOptions, Meter, ObservableInstrument } from './metrics.ts';
export type { Alarm, BatchOptions, GatewayOptions, RetryOptions, VerificationOptions } from './options.ts';
export type {
  Backlog,
  BatchAnchor,
  DeadLetter,
  Outbox,
  OutboxContext,
  Refusal,
  SealedBatch,
  SettledElsewhere,
  UnanchoredLeaf,
} from './outbox.ts';
export type { GatewayEvents } from './reporter.ts';
export { type Classification, type Fidelity, shouldNotarize } from './should-notarize.ts';
export type { GatewayStats, LastError } from './stats.ts';
export type { Submission } from './submission.ts';
