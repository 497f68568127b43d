import type { FieldViolation } from '../notary/error.ts';

/** Why the edge answered a call itself, before or instead of the notary. Used as `ErrorInfo.reason`. */
export type RequestErrorCode =
  // the request is wrong
  | 'INVALID_ARGUMENT'
  | 'MALFORMED_MESSAGE'
  | 'MALFORMED_TIMEOUT'
  // too much for one call: split
  | 'TOO_MANY_LEAVES'
  | 'MESSAGE_TOO_LARGE'
  // who calls
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  // try again later
  | 'MEMORY_BUDGET_FULL'
  | 'READ_TIMEOUT'
  | 'SHUTTING_DOWN'
  // too late
  | 'DEADLINE_EXCEEDED'
  // more than one message where the method takes one
  | 'UNEXPECTED_MESSAGE';

/** `message` is for callers. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: RequestErrorCode;
  readonly violations: readonly FieldViolation[];
  constructor(
    code: RequestErrorCode,
    message: string,
    options: ErrorOptions & { readonly violations?: readonly FieldViolation[] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.violations = options.violations ?? [];
  }
}

/** A piece of a request as it may stand in an error: short, and printable ASCII, which an HTTP/2 header carries as it is. */
export function quote(value: string): string {
  const shown = value.slice(0, 64).replace(/[^\x20-\x7e]/g, '?');
  return value.length > 64 ? `"${shown}..." (${value.length} characters)` : `"${shown}"`;
}
