/** Every way in which this layer refuses its input; a closed list, so that callers can switch over it. */
export type NoteErrorCode =
  | 'TOO_LARGE'
  | 'MALFORMED_NOTE'
  | 'TOO_MANY_SIGNATURES'
  | 'MALFORMED_SIGNATURE'
  | 'BAD_NAME'
  | 'MALFORMED_VKEY'
  | 'UNKNOWN_KEY_TYPE'
  | 'KEY_ID_MISMATCH'
  | 'UNSUPPORTED_KEY_TYPE'
  | 'AMBIGUOUS_KEY'
  | 'UNKNOWN_KEY'
  | 'BAD_SIGNATURE'
  | 'MALFORMED_CHECKPOINT'
  | 'MALFORMED_PROOF'
  | 'NOT_A_LEAF_PROOF'
  | 'BAD_ARGUMENT';

/** The one error of the note layer. The message never repeats more of a hostile input than its position or a short name. */
export class NoteError extends Error {
  override readonly name = 'NoteError';
  readonly code: NoteErrorCode;

  constructor(code: NoteErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
