import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import type { JournalFile, JournalFiles } from './file-system.ts';
import { stampFrames } from './frame.ts';
import type { SegmentUse } from './leaf-slabs.ts';
import type { RecordFrames } from './record-frames.ts';
import { formatSegmentHeader, SEGMENT_HEADER_BYTES } from './segment-header.ts';

/** One segment file, as far as it counts. */
export interface Segment {
  readonly number: number;
  bytes: number;
}

interface ActiveSegment extends Segment {
  readonly file: JournalFile;
  readonly salt: number;
  /** nothing in it is durable yet, nor is its name */
  isNew: boolean;
}

export interface SegmentLogOptions {
  readonly files: JournalFiles;
  readonly directory: string;
  readonly clusterId: string;
  /** a segment that has grown beyond is followed by another */
  readonly segmentBytes: number;
  /** whether a write waits for the disk */
  readonly isSynced: boolean;
}

export function segmentName(number: number): string {
  return `${String(number).padStart(12, '0')}.journal`;
}

/**
 * The segments of a journal, and the one that is written. Knows nothing of what records mean, but for how much of each segment
 * is still needed.
 */
export class SegmentLog implements SegmentUse {
  readonly #options: SegmentLogOptions;
  /** in order; the last may be the one that is written */
  readonly #segments: Segment[] = [];
  /** items and bytes that are needed, by segment */
  readonly #needed = new Map<number, number>();
  #neededBytes = 0;
  #bytes = 0;
  #active: ActiveSegment | undefined;
  #lastNumber = 0;

  constructor(options: SegmentLogOptions) {
    this.#options = options;
  }

  /** What all files take. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest segment that is not written any more. */
  get oldest(): number | undefined {
    const [oldest] = this.#segments;
    return this.#segments.length > 1 ? oldest?.number : undefined;
  }

  /** Whether so little of the files is needed that it is worth writing that anew. */
  get isWasteful(): boolean {
    const { segmentBytes } = this.#options;
    const files = this.#segments.length;
    return (
      this.oldest !== undefined &&
      (this.#bytes > 2 * this.#neededBytes + 4 * segmentBytes ||
        files > 16 + (4 * this.#bytes) / segmentBytes)
    );
  }

  /** A segment of an earlier process. */
  found(number: number, bytes: number): void {
    this.#segments.push({ number, bytes });
    this.#bytes += bytes;
    this.numberSeen(number);
  }

  /** No new segment takes this number. */
  numberSeen(number: number): void {
    this.#lastNumber = Math.max(this.#lastNumber, number);
  }

  use(segment: number, bytes: number): void {
    this.#needed.set(segment, (this.#needed.get(segment) ?? 0) + 1);
    this.#neededBytes += bytes;
  }

  drop(segment: number, bytes: number): void {
    this.#needed.set(segment, (this.#needed.get(segment) ?? 0) - 1);
    this.#neededBytes -= bytes;
  }

  /**
   * Writes records; when this resolves they are on disk. What fails is tried once more in a new segment: after a failed sync
   * nobody knows what of the file is on disk, and a second sync that succeeds says nothing about it.
   *
   * @param nextSequence no leaf that was ever written has it, or a higher one, but those of these records
   * @returns the number of their segment
   */
  async write(records: RecordFrames, nextSequence: number): Promise<number> {
    try {
      return await this.#write(records, nextSequence);
    } catch {
      await this.#giveUp();
    }
    try {
      return await this.#write(records, nextSequence);
    } catch (error) {
      await this.#giveUp();
      throw error;
    }
  }

  /** Removes segments that nothing needs, oldest first: a later one may say what became of the leaves of an earlier one. */
  async removeUnneeded(): Promise<void> {
    for (;;) {
      const [oldest] = this.#segments;
      // The last one stays: it says where the sequences go on.
      if (oldest === undefined || this.#segments.length === 1 || (this.#needed.get(oldest.number) ?? 0) > 0) {
        return;
      }
      await this.#remove(oldest.number);
      this.#segments.shift();
      this.#needed.delete(oldest.number);
      this.#bytes -= oldest.bytes;
    }
  }

  /** Whether {@link removeUnneeded} has something to do. */
  get hasUnneeded(): boolean {
    const { oldest } = this;
    return oldest !== undefined && (this.#needed.get(oldest) ?? 0) === 0;
  }

  async close(): Promise<void> {
    const file = this.#active?.file;
    this.#active = undefined;
    await file?.close();
  }

  async #write(records: RecordFrames, nextSequence: number): Promise<number> {
    const { files, directory, isSynced, segmentBytes } = this.#options;
    if (this.#active !== undefined && this.#active.bytes >= segmentBytes) await this.close();
    this.#active ??= await this.#begin(nextSequence);
    const active = this.#active;
    stampFrames(records.bytes, records.length, active.salt, active.bytes);
    await active.file.write(records.bytes, records.length, active.bytes);
    if (isSynced) await active.file.sync();
    if (active.isNew) {
      if (isSynced) await files.syncDirectory(directory);
      active.isNew = false;
      this.#segments.push(active);
      this.#bytes += active.bytes;
    }
    active.bytes += records.length;
    this.#bytes += records.length;
    return active.number;
  }

  async #begin(nextSequence: number): Promise<ActiveSegment> {
    const { files, directory, clusterId } = this.#options;
    const previous = this.#segments.at(-1);
    const number = ++this.#lastNumber;
    const salt = randomInt(2 ** 32);
    const header = formatSegmentHeader({
      clusterId,
      number,
      salt,
      previousNumber: previous?.number ?? 0,
      previousBytes: previous?.bytes ?? 0,
      nextSequence,
    });
    const path = join(directory, segmentName(number));
    const file = await files.create(path);
    try {
      await file.write(header, header.length, 0);
    } catch (error) {
      await file.close().catch(() => {});
      await files.remove(path).catch(() => {});
      throw error;
    }
    return { number, salt, file, bytes: SEGMENT_HEADER_BYTES, isNew: true };
  }

  /**
   * Leaves a segment whose last write failed. Its bytes are cut off, as far as the disk lets us; the header of the next segment
   * says how much of this one counts, so they do not come back even if it does not.
   */
  async #giveUp(): Promise<void> {
    const active = this.#active;
    if (active === undefined) return;
    this.#active = undefined;
    const { file, isNew, bytes, number } = active;
    if (!isNew) await cutBack(file, bytes).catch(ignored);
    await file.close().catch(ignored);
    if (isNew) await this.#remove(number).catch(ignored);
  }

  async #remove(number: number): Promise<void> {
    const { files, directory } = this.#options;
    await files.remove(join(directory, segmentName(number))).catch((error: NodeJS.ErrnoException) => {
      // Removed before, and only the sync failed.
      if (error.code !== 'ENOENT') throw error;
    });
    await files.syncDirectory(directory);
  }
}

async function cutBack(file: JournalFile, bytes: number): Promise<void> {
  await file.truncate(bytes);
  await file.sync();
}

/** The write failed already, and that is what is told. */
function ignored(): void {}
