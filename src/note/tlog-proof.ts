// Receipts on disk: c2sp.org/tlog-proof, whose `extra` carries the half that a generic verifier does not know, the path from
// a leaf to the record's root, and the record itself, which is the log's entry.

import { decodeBase64, encodeBase64 } from './base64.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { isSize, parseDecimal } from './decimal.ts';
import { NoteError } from './error.ts';
import { MAX_NOTE_LENGTH } from './note.ts';

const HASH_SIZE = 32;
/** A tree of 2^53-1 entries has paths of at most 53 hashes. */
const MAX_PATH_LENGTH = 64;
/** Records have at most 2,048 bytes; the rest of the extra data is bounded by its path. */
const MAX_RECORD_BYTES = 65_536;
const MAX_PROOF_LENGTH = MAX_NOTE_LENGTH + 131_072;

const PROOF_LINE = 'c2sp.org/tlog-proof@v1';
const LEAF_PROOF_LINE = 'quartermaster.dev/leaf-proof@v1';

export interface TlogProof {
  /** position of the leaf in its batch */
  readonly leafIndex: number;
  /** 32 bytes each, from the leaf's sibling up to below the record's root */
  readonly leafPath: readonly Uint8Array[];
  /** the log's entry, byte for byte */
  readonly record: Uint8Array;
  /** position of the record in the log */
  readonly logIndex: number;
  /** 32 bytes each, from the record's sibling up to below the checkpoint's root */
  readonly recordPath: readonly Uint8Array[];
  /** a signed note, verbatim */
  readonly checkpoint: string;
}

/**
 * Writes a `.tlog-proof`. Each proof has one text, and {@link parseTlogProof} reads it back.
 *
 * @throws {NoteError} BAD_ARGUMENT, and those of a malformed checkpoint
 */
export function formatTlogProof(proof: TlogProof): string {
  parseCheckpoint(proof.checkpoint);
  if (proof.record.length > MAX_RECORD_BYTES) {
    throw new NoteError('BAD_ARGUMENT', `a record of ${proof.record.length} bytes is too large`);
  }
  const head = new TextEncoder().encode(
    `${LEAF_PROOF_LINE}\nindex ${checkIndex(proof.leafIndex)}\n${pathLines(proof.leafPath)}\n`,
  );
  const extra = new Uint8Array(head.length + proof.record.length);
  extra.set(head);
  extra.set(proof.record, head.length);
  return (
    `${PROOF_LINE}\nextra ${encodeBase64(extra)}\nindex ${checkIndex(proof.logIndex)}\n` +
    `${pathLines(proof.recordPath)}\n${proof.checkpoint}`
  );
}

function checkIndex(index: number): number {
  if (!isSize(index)) throw new NoteError('BAD_ARGUMENT', `${index} is no index`);
  return index;
}

function pathLines(path: readonly Uint8Array[]): string {
  if (path.length > MAX_PATH_LENGTH || path.some((hash) => hash.length !== HASH_SIZE)) {
    throw new NoteError('BAD_ARGUMENT', `a path has at most ${MAX_PATH_LENGTH} hashes of ${HASH_SIZE} bytes`);
  }
  return path.map((hash) => `${encodeBase64(hash)}\n`).join('');
}

/**
 * Reads a `.tlog-proof` of ours, strictly: what it accepts, {@link formatTlogProof} writes again byte for byte. Nothing is
 * verified but the form.
 *
 * @throws {NoteError} TOO_LARGE, MALFORMED_PROOF, NOT_A_LEAF_PROOF, and those of a malformed checkpoint
 */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > MAX_PROOF_LENGTH) {
    throw new NoteError(
      'TOO_LARGE',
      `a proof of ${text.length} characters is above the limit of ${MAX_PROOF_LENGTH}`,
    );
  }
  const end = text.indexOf('\n\n');
  if (end === -1) throw malformed('no empty line precedes the checkpoint');
  const [first, extraLine, ...rest] = text.slice(0, end).split('\n');
  if (first !== PROOF_LINE) throw malformed(`its first line is not ${PROOF_LINE}`);
  if (!extraLine?.startsWith('extra ')) {
    throw new NoteError('NOT_A_LEAF_PROOF', 'this proof has no extra line, so it says nothing about a leaf');
  }
  const extra = decodeBase64(extraLine.slice('extra '.length));
  if (extra === undefined) throw malformed('its extra data is not canonical base64');
  const log = parseIndexAndPath(rest);
  const checkpoint = text.slice(end + 2);
  parseCheckpoint(checkpoint);
  const leaf = parseLeafProof(extra);
  return {
    leafIndex: leaf.index,
    leafPath: leaf.path,
    record: leaf.record,
    logIndex: log.index,
    recordPath: log.path,
    checkpoint,
  };
}

interface IndexAndPath {
  readonly index: number;
  readonly path: readonly Uint8Array[];
}

function parseLeafProof(extra: Uint8Array): IndexAndPath & { readonly record: Uint8Array } {
  const end = emptyLineIn(extra);
  const [first, ...rest] = end === -1 ? [] : asciiText(extra.subarray(0, end)).split('\n');
  if (first !== LEAF_PROOF_LINE) {
    throw new NoteError('NOT_A_LEAF_PROOF', `its extra data does not begin with ${LEAF_PROOF_LINE}`);
  }
  const record = extra.slice(end + 2);
  if (record.length > MAX_RECORD_BYTES) throw malformed(`a record of ${record.length} bytes is too large`);
  return { ...parseIndexAndPath(rest), record };
}

/** Where the first empty line's newline pair begins, in bytes: the record after it need not be text. */
function emptyLineIn(bytes: Uint8Array): number {
  for (let index = 0; index + 1 < bytes.length; index++) {
    if (bytes[index] === 0x0a && bytes[index + 1] === 0x0a) return index;
  }
  return -1;
}

/** Bytes above 0x7F become characters that no line of a proof can hold. */
function asciiText(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

function parseIndexAndPath([indexLine, ...pathOf]: readonly string[]): IndexAndPath {
  const index = indexLine?.startsWith('index ') ? parseDecimal(indexLine.slice('index '.length)) : undefined;
  if (index === undefined) throw malformed('an index line is missing or is no decimal without leading zeros');
  if (pathOf.length > MAX_PATH_LENGTH) throw malformed(`a path has more than ${MAX_PATH_LENGTH} hashes`);
  const path = pathOf.map((line) => {
    const hash = decodeBase64(line);
    if (hash?.length !== HASH_SIZE) throw malformed('a path line is not 32 bytes in canonical base64');
    return hash;
  });
  return { index, path };
}

function malformed(why: string): NoteError {
  return new NoteError('MALFORMED_PROOF', `this is no .tlog-proof: ${why}`);
}
