// Signed notes, c2sp.org/signed-note, in the reading of golang.org/x/mod/sumdb/note.

import { decodeBase64, encodeBase64 } from './base64.ts';
import { NoteError } from './error.ts';
import { hasControlCharacter, isKeyName } from './origin.ts';

/** At least 16 are demanded by the specification; 100 is the limit of golang.org/x/mod/sumdb/note. */
export const MAX_SIGNATURES = 100;

/** In UTF-16 code units. A hundred post-quantum signatures of 5 kB fit; hostile input beyond it is not even scanned. */
export const MAX_NOTE_LENGTH = 1_048_576;

export const KEY_ID_SIZE = 4;

/** One line `— name base64(keyId || signature)`. */
export interface SignatureLine {
  readonly name: string;
  /** 4 bytes */
  readonly keyId: Uint8Array;
  /** at least 1 byte; what it means depends on the key's type */
  readonly signature: Uint8Array;
}

export interface Note {
  /** ends with a newline, which is signed too */
  readonly text: string;
  /** 1 to 100, in the order of the note */
  readonly signatures: readonly SignatureLine[];
}

const SIGNATURE_PREFIX = '— ';

/**
 * Reads a signed note without verifying anything. One pass, linear in the length of the note.
 *
 * @throws {NoteError} TOO_LARGE, MALFORMED_NOTE, TOO_MANY_SIGNATURES, MALFORMED_SIGNATURE
 */
export function parseNote(note: string): Note {
  if (note.length > MAX_NOTE_LENGTH) {
    throw new NoteError(
      'TOO_LARGE',
      `a note of ${note.length} characters is above the limit of ${MAX_NOTE_LENGTH}`,
    );
  }
  if (!note.isWellFormed()) throw malformed('it is not valid Unicode');
  if (hasControlCharacter(note, '\n')) throw malformed('it holds a control character other than newline');
  // The text may hold empty lines, so the last one separates (section Format).
  const separator = note.lastIndexOf('\n\n');
  if (separator === -1) throw malformed('no empty line separates text and signatures');
  if (separator + 2 === note.length) throw malformed('it has no signature');
  if (!note.endsWith('\n')) throw malformed('its last line has no newline');

  const signatures: SignatureLine[] = [];
  let start = separator + 2;
  while (start < note.length) {
    if (signatures.length === MAX_SIGNATURES) {
      throw new NoteError('TOO_MANY_SIGNATURES', `a note has at most ${MAX_SIGNATURES} signatures`);
    }
    const end = note.indexOf('\n', start);
    signatures.push(parseSignatureLine(note.slice(start, end), signatures.length + 1));
    start = end + 1;
  }
  return { text: note.slice(0, separator + 1), signatures };
}

function parseSignatureLine(line: string, number: number): SignatureLine {
  const space = line.indexOf(' ', SIGNATURE_PREFIX.length);
  const name = line.slice(SIGNATURE_PREFIX.length, space);
  if (!line.startsWith(SIGNATURE_PREFIX) || space === -1 || !isKeyName(name)) {
    throw new NoteError('MALFORMED_SIGNATURE', `signature line ${number} is not "— name base64"`);
  }
  const bytes = decodeBase64(line.slice(space + 1));
  if (bytes === undefined || bytes.length <= KEY_ID_SIZE) {
    throw new NoteError(
      'MALFORMED_SIGNATURE',
      `signature line ${number} does not hold a key ID and a signature in canonical base64`,
    );
  }
  return { name, keyId: bytes.slice(0, KEY_ID_SIZE), signature: bytes.slice(KEY_ID_SIZE) };
}

/**
 * Writes a signed note: the inverse of {@link parseNote}, which accepts whatever this returns.
 *
 * @throws {NoteError} TOO_LARGE, MALFORMED_NOTE, TOO_MANY_SIGNATURES, MALFORMED_SIGNATURE
 */
export function formatNote(note: Note): string {
  const { text, signatures } = note;
  if (!text.endsWith('\n')) throw malformed('its text does not end with a newline');
  if (!text.isWellFormed()) throw malformed('it is not valid Unicode');
  if (hasControlCharacter(text, '\n')) throw malformed('it holds a control character other than newline');
  if (signatures.length === 0) throw malformed('it has no signature');
  if (signatures.length > MAX_SIGNATURES) {
    throw new NoteError('TOO_MANY_SIGNATURES', `a note has at most ${MAX_SIGNATURES} signatures`);
  }
  let formatted = `${text}\n`;
  for (const signature of signatures) formatted += formatSignatureLine(signature);
  if (formatted.length > MAX_NOTE_LENGTH) {
    throw new NoteError(
      'TOO_LARGE',
      `a note of ${formatted.length} characters is above the limit of ${MAX_NOTE_LENGTH}`,
    );
  }
  return formatted;
}

function formatSignatureLine({ name, keyId, signature }: SignatureLine): string {
  if (!isKeyName(name))
    throw new NoteError('MALFORMED_SIGNATURE', `${JSON.stringify(name)} cannot name a key`);
  if (keyId.length !== KEY_ID_SIZE || signature.length === 0) {
    throw new NoteError(
      'MALFORMED_SIGNATURE',
      'a signature line has a key ID of 4 bytes and a signature that is not empty',
    );
  }
  const bytes = new Uint8Array(KEY_ID_SIZE + signature.length);
  bytes.set(keyId);
  bytes.set(signature, KEY_ID_SIZE);
  return `${SIGNATURE_PREFIX}${name} ${encodeBase64(bytes)}\n`;
}

function malformed(why: string): NoteError {
  return new NoteError('MALFORMED_NOTE', `this is no signed note: ${why}`);
}
