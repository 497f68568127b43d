/** Which step of a verification failed; a closed list, so that callers can switch over it. */
export type VerificationErrorCode =
  /** the caller's policy holds no usable key */
  | 'BAD_POLICY'
  /** what the caller expects is itself malformed, such as a leaf that is not 32 bytes */
  | 'BAD_EXPECTED'
  /** the receipt's own shape: indexes, hashes of 32 bytes, lengths */
  | 'BAD_RECEIPT'
  /** the answer's own shape, likewise */
  | 'BAD_RESPONSE'
  | 'BAD_CHECKPOINT'
  /** the checkpoint is of a log that is not pinned, or of another log than the one it is compared with */
  | 'ORIGIN_MISMATCH'
  /** the log's entry is no anchor record in its canonical form */
  | 'BAD_RECORD'
  | 'CLUSTER_MISMATCH'
  | 'ANCHOR_MISMATCH'
  | 'LEAF_MISMATCH'
  | 'LEAF_INDEX_MISMATCH'
  | 'LEAF_INDEX_OUT_OF_RANGE'
  | 'LEAF_COUNT_MISMATCH'
  | 'ROOT_MISMATCH'
  | 'REVISION_MISMATCH'
  | 'REQUEST_ID_MISMATCH'
  /** the path from the leaf does not lead to the record's root */
  | 'LEAF_PATH'
  | 'LOG_INDEX_OUT_OF_RANGE'
  /** the path from the record does not lead to the checkpoint's root */
  | 'RECORD_PATH'
  /** no pinned key of this log has signed */
  | 'UNKNOWN_KEY'
  /** a pinned key's signature is not valid */
  | 'BAD_SIGNATURE'
  /** the newer checkpoint covers less than the older one */
  | 'SIZE_SHRANK'
  /** the newer checkpoint is not shown to extend the older one */
  | 'CONSISTENCY_PATH';

/** The one error of this layer: something is not proven. What a lower layer said about it is the `cause`. */
export class VerificationError extends Error {
  override readonly name = 'VerificationError';
  readonly code: VerificationErrorCode;

  constructor(code: VerificationErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
