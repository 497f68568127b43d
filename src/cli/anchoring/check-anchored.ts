// Whether the part of a file that is anchored is still what was anchored, and where to go on.

import { createHash } from 'node:crypto';
import { CliError } from '../error.ts';
import type { BatchEntry } from './manifest-entry.ts';
import { readGroups } from './manifest-file.ts';
import type { AnchoredGroup } from './recover-manifest.ts';
import { type LineBatch, type LineSource, type Range, scanLines } from './scan-lines.ts';

const LEAF_SIZE = 32;
const LF = 0x0a;

/** @throws {CliError} REFUSED, naming the first line that differs */
export async function checkAnchoredLines(
  source: LineSource,
  fileName: string,
  manifestPath: string,
): Promise<void> {
  for await (const group of readGroups(manifestPath)) await checkGroup(source, fileName, group);
}

async function checkGroup(
  source: LineSource,
  fileName: string,
  { batch, lines }: AnchoredGroup,
): Promise<void> {
  let next = 0;
  for await (const { packedLeaves, lineCount } of scanLines(source, rangeOf(batch), lines.length)) {
    const leaves = Buffer.from(packedLeaves.buffer, packedLeaves.byteOffset, packedLeaves.byteLength);
    for (let index = 0; index < lineCount; index++, next++) {
      const anchored = lines[next]?.leaf;
      if (anchored !== leaves.toString('hex', index * LEAF_SIZE, (index + 1) * LEAF_SIZE)) {
        throw changed(fileName, batch.first_line + next);
      }
    }
  }
  if (next < lines.length) throw changed(fileName, batch.first_line + next);
}

function changed(fileName: string, line: number): CliError {
  return new CliError(
    'REFUSED',
    `line ${line} of ${fileName} is no longer what was anchored (changed, cut off or moved). ` +
      'The manifest is left as it is; if the file was replaced on purpose, begin another manifest with --manifest',
  );
}

/**
 * The lines of a batch that was about to be sent when a run ended, read again.
 *
 * @throws {CliError} REFUSED where they are others by now: they cannot be sent under that request_id any more
 */
export async function rescanPending(
  source: LineSource,
  fileName: string,
  batch: BatchEntry,
): Promise<LineBatch> {
  const lineCount = batch.last_line - batch.first_line + 1;
  let only: LineBatch | undefined;
  for await (const batchOfLines of scanLines(source, rangeOf(batch), lineCount)) {
    if (only !== undefined || digestOf(batchOfLines.packedLeaves) !== batch.leaves_sha256)
      throw pendingChanged(fileName, batch);
    only = batchOfLines;
  }
  if (only === undefined) throw pendingChanged(fileName, batch);
  return only;
}

function pendingChanged(fileName: string, batch: BatchEntry): CliError {
  return new CliError(
    'REFUSED',
    `lines ${batch.first_line} to ${batch.last_line} of ${fileName} were being anchored when the last run was ` +
      'interrupted, and have changed since; restore them, or begin another manifest with --manifest',
  );
}

/** What is written about a batch before it is sent. */
export function batchEntryFor(batch: LineBatch, requestId: string): BatchEntry {
  return {
    type: 'batch',
    request_id: requestId,
    first_line: batch.firstLine,
    last_line: batch.firstLine + batch.lineCount - 1,
    first_offset: batch.firstOffset,
    end_offset: batch.endOffset,
    ...(batch.unterminatedFrom === undefined ? {} : { unterminated_from: batch.unterminatedFrom }),
    leaves_sha256: digestOf(batch.packedLeaves),
  };
}

/**
 * Where to go on after the last anchored batch. Its last line may have had no LF: if one has come since, the line was complete;
 * if something else has, the line has grown and is anchored once more, whole.
 */
export async function rangeAfter(source: LineSource, last: BatchEntry | undefined): Promise<Range> {
  if (last === undefined) return { firstLine: 1, firstOffset: 0, endOffset: undefined };
  const next = { firstLine: last.last_line + 1, firstOffset: last.end_offset, endOffset: undefined };
  if (last.unterminated_from === undefined) return next;
  const following = Buffer.alloc(1);
  const { bytesRead } = await source.read(following, 0, 1, last.end_offset);
  if (bytesRead === 0) return next;
  return following[0] === LF
    ? { ...next, firstOffset: last.end_offset + 1 }
    : { ...next, firstLine: last.last_line, firstOffset: last.unterminated_from };
}

function rangeOf(batch: BatchEntry): Range {
  return { firstLine: batch.first_line, firstOffset: batch.first_offset, endOffset: batch.end_offset };
}

function digestOf(packedLeaves: Uint8Array): string {
  return createHash('sha256').update(packedLeaves).digest('hex');
}
