/** Why the notary did not do what it was asked. The server maps each code to one gRPC status and uses it as `ErrorInfo.reason`. */
export type NotaryErrorCode =
  // the request is wrong
  | 'INVALID_ARGUMENT'
  | 'CLUSTER_NOT_FOUND'
  | 'ANCHOR_NOT_FOUND'
  | 'LEAF_INDEX_OUT_OF_RANGE'
  | 'TREE_SIZE_OUT_OF_RANGE'
  | 'TREE_SIZE_NOT_COMMITTED'
  | 'REQUEST_ID_REUSED'
  | 'CLUSTER_EXISTS'
  | 'PREDECESSOR_REFUSED'
  // the cluster's state does not allow it
  | 'CLUSTER_FROZEN'
  | 'CLUSTER_SEALED'
  | 'CLUSTER_RECOVERING'
  | 'THAW_REFUSED'
  | 'SIGNING_KEY_MISMATCH'
  // evidence against the stored log
  | 'LOG_ROLLED_BACK'
  | 'LOG_FORKED'
  | 'LOG_CORRUPT'
  // try again later
  | 'QUEUE_FULL'
  | 'STORAGE_UNAVAILABLE'
  | 'OUTCOME_UNKNOWN'
  | 'DRAINING'
  // the caller went away or its deadline passed before sequencing
  | 'CANCELLED'
  // a batch that the database cannot store
  | 'REJECTED_BY_STORAGE';

export interface FieldViolation {
  /** Path of the field in the request message, for example `leaves[3]`. */
  readonly field: string;
  readonly description: string;
}

/** `message` is for callers: what was wrong, with which value, and what to do. Internal causes stay in `cause`. */
export class NotaryError extends Error {
  override readonly name = 'NotaryError';
  readonly code: NotaryErrorCode;
  readonly violations: readonly FieldViolation[];
  constructor(
    code: NotaryErrorCode,
    message: string,
    options: ErrorOptions & { readonly violations?: readonly FieldViolation[] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.violations = options.violations ?? [];
  }
}
