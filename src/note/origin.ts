import { NoteError } from './error.ts';

/** An origin is stored and sent in one byte-counted field of cosigned messages (c2sp.org/tlog-cosignature). */
export const MAX_ORIGIN_BYTES = 255;

// Go's unicode.IsSpace, which golang.org/x/mod/sumdb/note uses, is this same Unicode property.
const FORBIDDEN_IN_NAME = /[\p{White_Space}+]/u;

/**
 * Whether a text may name a key (c2sp.org/signed-note, section Format): not empty, well-formed, without Unicode spaces,
 * plus signs and ASCII control characters.
 */
export function isKeyName(name: string): boolean {
  return name !== '' && name.isWellFormed() && !FORBIDDEN_IN_NAME.test(name) && !hasControlCharacter(name);
}

/** Whether a text holds an ASCII control character (below U+0020), not counting those in `except`. */
export function hasControlCharacter(text: string, except?: '\n'): boolean {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 && !(unit === 0x0a && except === '\n')) return true;
  }
  return false;
}

/**
 * Checks an origin: a key name of at most 255 bytes of UTF-8.
 *
 * @returns the origin itself.
 * @throws {NoteError} BAD_NAME
 */
export function checkOrigin(origin: string): string {
  if (origin.length > MAX_ORIGIN_BYTES || new TextEncoder().encode(origin).length > MAX_ORIGIN_BYTES) {
    throw new NoteError('BAD_NAME', `an origin has at most ${MAX_ORIGIN_BYTES} bytes of UTF-8`);
  }
  if (!isKeyName(origin)) {
    throw new NoteError(
      'BAD_NAME',
      `an origin is not empty and holds no spaces, control characters or "+": ${JSON.stringify(origin)}`,
    );
  }
  return origin;
}
