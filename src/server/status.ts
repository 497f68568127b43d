/** The one place where errors become gRPC statuses. */
import type { StatusObject } from '@grpc/grpc-js';
import { Metadata, status } from '@grpc/grpc-js';
import type { FieldViolation, NotaryErrorCode } from '../notary/error.ts';
import { NotaryError } from '../notary/error.ts';
import { encodeStatusDetails, STATUS_DETAILS } from '../rpc/status-details.ts';
import type { RequestErrorCode } from './error.ts';
import { RequestError } from './error.ts';

/** `ErrorInfo.domain` of everything that is answered here. */
export const ERROR_DOMAIN = 'quartermaster.dev';

/** Some clients hang on trailers above 8 KiB, and base64 makes four bytes of three. */
const MAX_DETAILS_BYTES = 4096;
const MAX_VIOLATIONS = 8;
const MAX_MESSAGE_CHARACTERS = 512;
const MAX_VIOLATION_CHARACTERS = 200;

interface Mapping {
  readonly code: status;
  /** Only where the same call can succeed later: clients retry where there is one, and only there. */
  readonly retryDelayMs?: number;
}

const NOTARY_CODES: Readonly<Record<NotaryErrorCode, Mapping>> = {
  INVALID_ARGUMENT: { code: status.INVALID_ARGUMENT },
  CLUSTER_NOT_FOUND: { code: status.NOT_FOUND },
  ANCHOR_NOT_FOUND: { code: status.NOT_FOUND },
  LEAF_INDEX_OUT_OF_RANGE: { code: status.OUT_OF_RANGE },
  TREE_SIZE_OUT_OF_RANGE: { code: status.OUT_OF_RANGE },
  TREE_SIZE_NOT_COMMITTED: { code: status.NOT_FOUND },
  REQUEST_ID_REUSED: { code: status.ALREADY_EXISTS },
  CLUSTER_EXISTS: { code: status.ALREADY_EXISTS },
  PREDECESSOR_REFUSED: { code: status.FAILED_PRECONDITION },
  CLUSTER_FROZEN: { code: status.FAILED_PRECONDITION },
  CLUSTER_SEALED: { code: status.FAILED_PRECONDITION },
  // Waits for an operator (ThawCluster), not for a moment.
  CLUSTER_RECOVERING: { code: status.UNAVAILABLE, retryDelayMs: 30_000 },
  THAW_REFUSED: { code: status.FAILED_PRECONDITION },
  SIGNING_KEY_MISMATCH: { code: status.FAILED_PRECONDITION },
  LOG_ROLLED_BACK: { code: status.DATA_LOSS },
  LOG_FORKED: { code: status.DATA_LOSS },
  LOG_CORRUPT: { code: status.DATA_LOSS },
  QUEUE_FULL: { code: status.RESOURCE_EXHAUSTED, retryDelayMs: 1_000 },
  STORAGE_UNAVAILABLE: { code: status.UNAVAILABLE, retryDelayMs: 1_000 },
  OUTCOME_UNKNOWN: { code: status.UNAVAILABLE, retryDelayMs: 1_000 },
  DRAINING: { code: status.UNAVAILABLE, retryDelayMs: 100 },
  CANCELLED: { code: status.CANCELLED },
  // The request passed every check of ours: that the database refuses it is our defect, and no retry mends it.
  REJECTED_BY_STORAGE: { code: status.INTERNAL },
};

const REQUEST_CODES: Readonly<Record<RequestErrorCode, Mapping>> = {
  INVALID_ARGUMENT: { code: status.INVALID_ARGUMENT },
  MALFORMED_MESSAGE: { code: status.INVALID_ARGUMENT },
  MALFORMED_TIMEOUT: { code: status.INVALID_ARGUMENT },
  TOO_MANY_LEAVES: { code: status.RESOURCE_EXHAUSTED },
  MESSAGE_TOO_LARGE: { code: status.RESOURCE_EXHAUSTED },
  UNAUTHENTICATED: { code: status.UNAUTHENTICATED },
  PERMISSION_DENIED: { code: status.PERMISSION_DENIED },
  MEMORY_BUDGET_FULL: { code: status.RESOURCE_EXHAUSTED, retryDelayMs: 1_000 },
  READ_TIMEOUT: { code: status.RESOURCE_EXHAUSTED, retryDelayMs: 1_000 },
  SHUTTING_DOWN: { code: status.UNAVAILABLE, retryDelayMs: 100 },
  DEADLINE_EXCEEDED: { code: status.DEADLINE_EXCEEDED },
  UNEXPECTED_MESSAGE: { code: status.UNIMPLEMENTED },
};

/** What of a call its status depends on. */
export interface FailedCall {
  readonly id: string;
  /** Whether the call's own deadline has passed. */
  readonly expired: boolean;
}

/**
 * The status for whatever a handler threw. What is neither a `NotaryError` nor a `RequestError` was not written for
 * callers: it becomes INTERNAL with the call's id, under which the log has the rest.
 */
export function statusOf(error: unknown, call: FailedCall): StatusObject {
  if (error instanceof NotaryError) {
    if (error.code === 'CANCELLED' && call.expired) {
      return makeStatus({ code: status.DEADLINE_EXCEEDED }, 'DEADLINE_EXCEEDED', 'the deadline passed', []);
    }
    return makeStatus(NOTARY_CODES[error.code], error.code, error.message, error.violations);
  }
  if (error instanceof RequestError) {
    return makeStatus(REQUEST_CODES[error.code], error.code, error.message, error.violations);
  }
  return makeStatus(
    { code: status.INTERNAL },
    'INTERNAL',
    `internal error; the server's log has ${call.id}`,
    [],
  );
}

/** Whether an error was not meant for callers, or says that something is wrong with the service: the log then has all of it. */
export function isServerFault(error: unknown): boolean {
  if (!(error instanceof NotaryError)) return !(error instanceof RequestError);
  const { code } = NOTARY_CODES[error.code];
  return code === status.INTERNAL || code === status.DATA_LOSS || code === status.UNAVAILABLE;
}

function makeStatus(
  mapping: Mapping,
  reason: string,
  message: string,
  violations: readonly FieldViolation[],
): StatusObject {
  const shown = bounded(message, MAX_MESSAGE_CHARACTERS);
  const metadata = new Metadata();
  metadata.set(STATUS_DETAILS, Buffer.from(boundedDetails(mapping, reason, shown, violations)));
  return { code: mapping.code, details: shown, metadata };
}

function boundedDetails(
  mapping: Mapping,
  reason: string,
  message: string,
  violations: readonly FieldViolation[],
): Uint8Array {
  let kept = violations.slice(0, MAX_VIOLATIONS).map(({ field, description }) => ({
    field: bounded(field, MAX_VIOLATION_CHARACTERS),
    description: bounded(description, MAX_VIOLATION_CHARACTERS),
  }));
  const { retryDelayMs } = mapping;
  for (;;) {
    const details = { reason, domain: ERROR_DOMAIN, violations: kept, retryDelayMs };
    const bytes = encodeStatusDetails(mapping.code, message, details);
    if (bytes.byteLength <= MAX_DETAILS_BYTES || kept.length === 0) return bytes;
    kept = kept.slice(0, -1);
  }
}

/** Well-formed, since grpc-js percent-encodes the message with encodeURI, which throws on a lone surrogate. */
function bounded(text: string, maxCharacters: number): string {
  return (text.length > maxCharacters ? `${text.slice(0, maxCharacters - 3)}...` : text).toWellFormed();
}
