// A file of any size as leaves: SHA-256 of each line without its LF, in bounded memory.

import { createHash, type Hash, hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

const LF = 0x0a;
const LEAF_SIZE = 32;
const CHUNK_BYTES = 1024 * 1024;

/** Consecutive lines. Offsets are bytes from the start of the file. */
export interface LineBatch {
  /** from 1 */
  readonly firstLine: number;
  readonly lineCount: number;
  readonly firstOffset: number;
  /** after the last line's LF, or the end where it has none */
  readonly endOffset: number;
  /** where the last line begins, if it has no LF (yet) */
  readonly unterminatedFrom: number | undefined;
  /** lineCount * 32 bytes */
  readonly packedLeaves: Uint8Array;
}

export interface Range {
  readonly firstLine: number;
  /** where that line begins */
  readonly firstOffset: number;
  /** reads no further; undefined: to the end of the file as it is by then */
  readonly endOffset: number | undefined;
}

/** Reads some bytes of a file; the part of a FileHandle that scanning needs. */
export type LineSource = Pick<FileHandle, 'read'>;

/**
 * The lines of a part of a file, in batches. Lines end with LF alone: a CR before it belongs to the line, any byte may occur,
 * an empty line is a line, and what follows the last LF is a line if it is not empty.
 *
 * @param maxLines most lines of a batch, from 1
 */
export async function* scanLines(
  source: LineSource,
  range: Range,
  maxLines: number,
): AsyncGenerator<LineBatch, void, undefined> {
  const batch = new BatchBuilder(range.firstLine, range.firstOffset, maxLines);
  let lineStart = range.firstOffset;
  // Of a line that began in an earlier chunk. A short line is hashed in one call, which is twice as fast.
  let begun: Hash | undefined;
  for await (const { bytes, offset } of chunksOf(source, range)) {
    let at = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, at)) {
      const rest = bytes.subarray(at, end);
      const leaf = begun === undefined ? hash('sha256', rest, 'buffer') : begun.update(rest).digest();
      begun = undefined;
      at = end + 1;
      lineStart = offset + at;
      batch.add(leaf, lineStart);
      if (batch.isFull) yield batch.take();
    }
    if (at < bytes.length) begun = (begun ?? createHash('sha256')).update(bytes.subarray(at));
    batch.reached = offset + bytes.length;
  }
  if (begun !== undefined) {
    batch.add(begun.digest(), batch.reached);
    yield batch.take(lineStart);
  } else if (!batch.isEmpty) {
    yield batch.take();
  }
}

/** SHA-256 of one line, or undefined where the file has fewer. */
export async function hashLine(source: LineSource, line: number): Promise<Uint8Array | undefined> {
  for await (const batch of scanLines(source, { firstLine: 1, firstOffset: 0, endOffset: undefined }, 4096)) {
    const index = line - batch.firstLine;
    if (index < batch.lineCount) return batch.packedLeaves.slice(index * LEAF_SIZE, (index + 1) * LEAF_SIZE);
  }
  return undefined;
}

async function* chunksOf(
  source: LineSource,
  { firstOffset, endOffset }: Range,
): AsyncGenerator<{ readonly bytes: Buffer; readonly offset: number }, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  let offset = firstOffset;
  for (;;) {
    const wanted = Math.min(CHUNK_BYTES, (endOffset ?? Number.POSITIVE_INFINITY) - offset);
    if (wanted <= 0) return;
    const { bytesRead } = await source.read(buffer, 0, wanted, offset);
    if (bytesRead === 0) return;
    yield { bytes: buffer.subarray(0, bytesRead), offset };
    offset += bytesRead;
  }
}

class BatchBuilder {
  /** How far the file has been read. */
  reached: number;
  readonly #maxLines: number;
  #firstLine: number;
  #firstOffset: number;
  #endOffset: number;
  #lineCount = 0;
  #leaves: Uint8Array;

  constructor(firstLine: number, firstOffset: number, maxLines: number) {
    this.#maxLines = maxLines;
    this.#firstLine = firstLine;
    this.#firstOffset = firstOffset;
    this.#endOffset = firstOffset;
    this.reached = firstOffset;
    this.#leaves = new Uint8Array(Math.min(maxLines, 256) * LEAF_SIZE);
  }

  get isEmpty(): boolean {
    return this.#lineCount === 0;
  }

  get isFull(): boolean {
    return this.#lineCount === this.#maxLines;
  }

  add(leaf: Uint8Array, endOffset: number): void {
    const at = this.#lineCount * LEAF_SIZE;
    if (at === this.#leaves.length) {
      const larger = new Uint8Array(Math.min(this.#leaves.length * 2, this.#maxLines * LEAF_SIZE));
      larger.set(this.#leaves);
      this.#leaves = larger;
    }
    this.#leaves.set(leaf, at);
    this.#lineCount++;
    this.#endOffset = endOffset;
  }

  take(unterminatedFrom?: number): LineBatch {
    const batch: LineBatch = {
      firstLine: this.#firstLine,
      lineCount: this.#lineCount,
      firstOffset: this.#firstOffset,
      endOffset: this.#endOffset,
      unterminatedFrom,
      packedLeaves: this.#leaves.slice(0, this.#lineCount * LEAF_SIZE),
    };
    this.#firstLine += this.#lineCount;
    this.#firstOffset = this.#endOffset;
    this.#lineCount = 0;
    return batch;
  }
}
