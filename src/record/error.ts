/** Every way in which this layer refuses its input; a closed list, so that callers can switch over it. */
export type RecordErrorCode =
  | 'TOO_LARGE'
  | 'NOT_UTF8'
  | 'NOT_JSON'
  | 'NOT_AN_OBJECT'
  | 'NOT_CANONICAL'
  | 'BAD_FIELD';

/** The one error of the record layer. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
  readonly code: RecordErrorCode;
  /** the JSON name of the field, where `code` is BAD_FIELD */
  readonly field: string | undefined;

  constructor(code: RecordErrorCode, message: string, options?: ErrorOptions & { readonly field?: string }) {
    super(message, options);
    this.code = code;
    this.field = options?.field;
  }
}

/** A field that is missing or is not what the design says of it. */
export function badField(field: string, mustBe: string, cause?: Error): RecordError {
  return new RecordError('BAD_FIELD', `the record's ${field} must be ${mustBe}`, { field, cause });
}
