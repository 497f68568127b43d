import { createHash } from 'node:crypto';
import { RequestError } from './error.ts';

/** Bytes of the digest that ties a token to its request: enough against mistakes; a position is no secret. */
const SCOPE_BYTES = 8;
const MAX_TOKEN_CHARACTERS = 128;

/**
 * A token that leads to the next page of the same request.
 *
 * @param scope All parameters of the request but the page size (AIP-158): with others the token is refused.
 * @param position Where the next page begins, at most 64 ASCII characters.
 */
export function formatPageToken(scope: readonly unknown[], position: string): string {
  return Buffer.concat([digest(scope), Buffer.from(position, 'latin1')]).toString('base64url');
}

/**
 * The position in a token, undefined for the empty one (the first page).
 *
 * @param isPosition Judges what the token says.
 * @throws {RequestError} INVALID_ARGUMENT
 */
export function parsePageToken(
  scope: readonly unknown[],
  token: string,
  isPosition: (text: string) => boolean,
): string | undefined {
  if (token === '') return undefined;
  const bytes = token.length <= MAX_TOKEN_CHARACTERS ? Buffer.from(token, 'base64url') : Buffer.alloc(0);
  const position = bytes.subarray(SCOPE_BYTES).toString('latin1');
  const valid =
    bytes.toString('base64url') === token &&
    bytes.subarray(0, SCOPE_BYTES).equals(digest(scope)) &&
    isPosition(position);
  if (valid) return position;
  const description = 'not a token that this list gave for these parameters';
  throw new RequestError('INVALID_ARGUMENT', `page_token: ${description}`, {
    violations: [{ field: 'page_token', description }],
  });
}

/** A whole number that JavaScript holds exactly. */
export function isIndex(text: string): boolean {
  return /^(?:0|[1-9]\d{0,15})$/.test(text) && Number.isSafeInteger(Number(text));
}

function digest(scope: readonly unknown[]): Buffer {
  return createHash('sha256').update(JSON.stringify(scope)).digest().subarray(0, SCOPE_BYTES);
}
