// Checkpoints, c2sp.org/tlog-checkpoint: the text `origin\nsize\nbase64(root)\n` of a signed note.

import { decodeBase64, encodeBase64 } from './base64.ts';
import { isSize, parseDecimal } from './decimal.ts';
import { NoteError } from './error.ts';
import { formatNote, type Note, parseNote, type SignatureLine } from './note.ts';
import { checkOrigin } from './origin.ts';

const ROOT_SIZE = 32;

export interface Checkpoint {
  /** any line that is not empty; that it names a key is for whoever verifies to check */
  readonly origin: string;
  /** 0 to 2^53-1 */
  readonly size: number;
  /** 32 bytes */
  readonly root: Uint8Array;
  /** further lines, signed but without meaning here; absent when there are none */
  readonly extensions?: readonly string[];
}

/** Reads the text of a checkpoint, strictly. @throws {NoteError} MALFORMED_CHECKPOINT */
export function parseCheckpointText(text: string): Checkpoint {
  if (!text.endsWith('\n')) throw malformed('its text does not end with a newline');
  const [origin, sizeLine, rootLine, ...extensions] = text.slice(0, -1).split('\n');
  if (origin === undefined || origin === '') throw malformed('its origin is empty');
  if (sizeLine === undefined || rootLine === undefined) throw malformed('it has fewer than three lines');
  const size = parseDecimal(sizeLine);
  if (size === undefined) throw malformed('its size is no decimal from 0 to 2^53-1 without leading zeros');
  const root = decodeBase64(rootLine);
  if (root?.length !== ROOT_SIZE) throw malformed('its root is not 32 bytes in canonical base64');
  if (extensions.includes('')) throw malformed('it has an empty extension line');
  return extensions.length === 0 ? { origin, size, root } : { origin, size, root, extensions };
}

/**
 * Writes the text that a log signs, without extension lines.
 *
 * @throws {NoteError} BAD_NAME, MALFORMED_CHECKPOINT
 */
export function formatCheckpointText(checkpoint: Pick<Checkpoint, 'origin' | 'size' | 'root'>): string {
  const { origin, size, root } = checkpoint;
  checkOrigin(origin);
  if (!isSize(size)) throw malformed(`${size} is no size`);
  if (root.length !== ROOT_SIZE) throw malformed(`a root has 32 bytes, not ${root.length}`);
  return `${origin}\n${size}\n${encodeBase64(root)}\n`;
}

/** Reads a checkpoint with its signatures, without verifying them. @throws {NoteError} as {@link parseNote}, MALFORMED_CHECKPOINT */
export function parseCheckpoint(note: string): { readonly checkpoint: Checkpoint; readonly note: Note } {
  const parsed = parseNote(note);
  return { checkpoint: parseCheckpointText(parsed.text), note: parsed };
}

/** Puts a checkpoint's text and its signatures together. @throws {NoteError} as {@link formatNote}, MALFORMED_CHECKPOINT */
export function assembleCheckpoint(text: string, signatures: readonly SignatureLine[]): string {
  parseCheckpointText(text);
  return formatNote({ text, signatures });
}

function malformed(why: string): NoteError {
  return new NoteError('MALFORMED_CHECKPOINT', `this is no checkpoint: ${why}`);
}
