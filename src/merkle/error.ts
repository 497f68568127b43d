/** Why a computation over a tree refused its input. The list is closed: callers may switch over it exhaustively. */
export type MerkleErrorCode =
  /** A leaf index that is not a whole number from 0 to size - 1. */
  | 'INDEX_OUT_OF_RANGE'
  /** A tree size that is not a whole number from 0 to 2^53 - 1, or a first size above the second. */
  | 'SIZE_OUT_OF_RANGE'
  /** A path with more or fewer hashes than a tree of this shape has. */
  | 'WRONG_PATH_LENGTH'
  /** The path is well formed, and leads to another root. */
  | 'ROOT_MISMATCH'
  /** Bytes that are not one hash of 32 bytes, or not a whole number of them. */
  | 'BAD_HASH'
  /** The caller did not supply a subtree that the computation reads. */
  | 'MISSING_HASH';

/** The one error of this layer. */
export class MerkleError extends Error {
  override readonly name = 'MerkleError';
  readonly code: MerkleErrorCode;

  constructor(code: MerkleErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
