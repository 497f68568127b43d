import { join } from 'node:path';
import { GatewayError } from '../error.ts';
import type { GatewayLogger } from '../logger.ts';
import type { JournalFile, JournalFiles } from './file-system.ts';
import { type Damage, FrameScanner } from './frame-scanner.ts';
import type { JournalState } from './journal-state.ts';
import { readRecord } from './read-record.ts';
import { parseSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-header.ts';
import { type SegmentLog, segmentName } from './segment-log.ts';

const PIECE_BYTES = 1024 * 1024;
const SEGMENT_NAME = /^\d{12}\.journal$/;

export interface Recovery {
  readonly files: JournalFiles;
  readonly directory: string;
  readonly clusterId: string;
  readonly log: GatewayLogger;
}

interface FoundSegment {
  readonly path: string;
  readonly name: string;
  readonly header: SegmentHeader;
  readonly bytes: number;
}

/** Reads all segments into the state, and makes whole what a crash or a disk left behind. */
export async function recover(given: Recovery, state: JournalState, segments: SegmentLog): Promise<void> {
  const found = await findSegments(given, segments);
  for (const [index, segment] of found.entries()) {
    const successor = found[index + 1]?.header;
    const promised =
      successor?.previousNumber === segment.header.number ? successor.previousBytes : undefined;
    reportGaps(given, segment, found[index - 1], promised);
    const bytes = await replay(given, state, segment, promised);
    segments.found(segment.header.number, bytes);
  }
}

/** Segments that count, in order. */
async function findSegments(given: Recovery, segments: SegmentLog): Promise<FoundSegment[]> {
  const { files, directory } = given;
  const names = (await files.list(directory)).filter((name) => SEGMENT_NAME.test(name)).sort();
  const found: FoundSegment[] = [];
  for (const name of names) {
    segments.numberSeen(Number.parseInt(name, 10));
    const segment = await inspect(given, name);
    if (segment !== undefined) found.push(segment);
  }
  const counts = found.filter(({ header }) => !found.some((later) => skips(later.header, header.number)));
  for (const { name, path } of found) {
    if (counts.some((segment) => segment.name === name)) continue;
    given.log.info(
      { file: path },
      'the journal removes a segment that was given up before anything in it counted',
    );
    await files.remove(path);
  }
  return counts;
}

function skips({ number, previousNumber }: SegmentHeader, other: number): boolean {
  return previousNumber < other && other < number;
}

async function inspect(given: Recovery, name: string): Promise<FoundSegment | undefined> {
  const { files, directory, clusterId } = given;
  const path = join(directory, name);
  const { start, bytes } = await opened(files, path, async (file) => {
    const start = Buffer.alloc(SEGMENT_HEADER_BYTES);
    return { start: start.subarray(0, await file.read(start, 0)), bytes: await file.size() };
  });
  const header = parseSegmentHeader(start);
  if (header === 'later-version') {
    throw refused(`${path} was written by a later version: use that version, or an empty directory`);
  }
  if (header === undefined) {
    await setAside(given, path, bytes, start);
    return undefined;
  }
  if (header.clusterId !== clusterId) {
    throw refused(
      `the journal ${directory} holds leaves of cluster ${header.clusterId}, not of ${clusterId}: give each cluster a directory of its own`,
    );
  }
  if (segmentName(header.number) !== name) {
    throw refused(
      `${path} is segment ${segmentName(header.number)} under another name: give it its own back`,
    );
  }
  return { path, name, header, bytes };
}

/** A segment whose header cannot be read. If it ever counted, its successor misses it. */
async function setAside({ files, log }: Recovery, path: string, bytes: number, start: Buffer): Promise<void> {
  if (bytes <= SEGMENT_HEADER_BYTES) {
    log.warn({ file: path, bytes }, 'the journal removes a segment whose first write did not end');
    await files.remove(path);
    return;
  }
  const kept = `${path}.corrupt`;
  await files.rename(path, kept);
  if (start.at(-1) === 0 && start.at(-2) === 0) {
    log.warn({ file: path, bytes, kept }, 'the journal puts a segment aside whose first write did not end');
    return;
  }
  log.error(
    { file: path, offset: 0, bytes, kept },
    'the journal cannot read a segment: both copies of its header are damaged. Leaves in it may be lost; the file is kept',
  );
}

function reportGaps(
  { log }: Recovery,
  { path, header, bytes }: FoundSegment,
  before: FoundSegment | undefined,
  promised: number | undefined,
): void {
  if (before !== undefined && header.previousNumber !== before.header.number) {
    log.error(
      { file: path, missing: segmentName(header.previousNumber) },
      'a segment of the journal is missing: leaves in it may be lost',
    );
  }
  if (promised !== undefined && bytes < promised) {
    log.error(
      { file: path, offset: bytes, bytes: promised - bytes },
      'a segment of the journal has lost its end: leaves in it may be lost',
    );
  }
}

/** @returns how much of the segment counts */
async function replay(
  given: Recovery,
  state: JournalState,
  segment: FoundSegment,
  promised: number | undefined,
): Promise<number> {
  const { header, path } = segment;
  const end = Math.min(segment.bytes, promised ?? segment.bytes);
  const damages: Damage[] = [];
  state.segment = header.number;
  state.nextSequence = Math.max(state.nextSequence, header.nextSequence);
  const scanner = new FrameScanner(header.salt, SEGMENT_HEADER_BYTES, {
    frame: (kind, body) => readRecord(kind, body, state),
    damage: (damage) => damages.push(damage),
  });
  await opened(given.files, path, async (file) => {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    for (let position = SEGMENT_HEADER_BYTES; position < end; ) {
      const wanted = piece.subarray(0, Math.min(PIECE_BYTES, end - position));
      const bytes = await file.read(wanted, position);
      if (bytes === 0) break;
      scanner.push(wanted.subarray(0, bytes));
      position += bytes;
    }
    scanner.end();
    for (const damage of damages) {
      // A segment that has a successor was whole when that began.
      if (promised !== undefined || damage.look === 'damaged') await keepDamage(given, file, path, damage);
      else if (damage.look === 'half-written')
        await copyOnce(given, file, nameOfDamage(path, damage), damage);
    }
  });
  const unfinished = damages.find(({ look }) => promised === undefined && look !== 'damaged');
  if (unfinished === undefined) return end;
  await cutOff(given, path, unfinished);
  return unfinished.from;
}

async function cutOff({ files, log }: Recovery, path: string, damage: Damage): Promise<void> {
  const { from, bytes, look } = damage;
  log.warn(
    { file: path, offset: from, bytes, kept: look === 'torn' ? undefined : nameOfDamage(path, damage) },
    'the journal cuts off a write that did not end; nothing in it was promised',
  );
  const file = await files.openForWriting(path);
  try {
    await file.truncate(from);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Copies bytes that no record can be read from, so that they outlive their segment. */
async function keepDamage(given: Recovery, file: JournalFile, path: string, damage: Damage): Promise<void> {
  const { from, bytes } = damage;
  const kept = nameOfDamage(path, damage);
  await copyOnce(given, file, kept, damage);
  given.log.error(
    { file: path, offset: from, bytes, kept },
    'the journal cannot read a record: what it said may be lost. All others are kept, and so are its bytes',
  );
}

function nameOfDamage(path: string, { from }: Damage): string {
  return `${path}.${from}.corrupt`;
}

async function copyOnce(
  { files, directory }: Recovery,
  from: JournalFile,
  path: string,
  damage: Damage,
): Promise<void> {
  let to: JournalFile;
  try {
    to = await files.create(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    throw error;
  }
  try {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, damage.bytes));
    for (let done = 0; done < damage.bytes; ) {
      const wanted = piece.subarray(0, Math.min(piece.length, damage.bytes - done));
      const bytes = await from.read(wanted, damage.from + done);
      if (bytes === 0) break;
      await to.write(wanted, bytes, done);
      done += bytes;
    }
    await to.sync();
  } finally {
    await to.close();
  }
  await files.syncDirectory(directory);
}

async function opened<T>(
  files: JournalFiles,
  path: string,
  use: (file: JournalFile) => Promise<T>,
): Promise<T> {
  const file = await files.openForReading(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

function refused(message: string): GatewayError {
  return new GatewayError('OUTBOX_FAILED', message);
}
