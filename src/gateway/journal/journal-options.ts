import { GatewayError } from '../error.ts';

export interface JournalOptions {
  /** Where the journal lives: a directory for this gateway and this cluster alone, on a disk that outlives the process. */
  readonly directory: string;

  /** Leaves that it holds at most, dead letters included, 1 to 1,000,000,000. Default: 10,000,000. */
  readonly maxLeaves?: number | undefined;

  /**
   * Bytes that its files take at most, 1 MiB or more. Default: 1 GiB, some ten million leaves with event ids of 36 letters. At
   * least a third of it is leaves that wait: the rest may be what is left of others.
   */
  readonly maxBytes?: number | undefined;

  /**
   * When the disk is waited for. `group` (default): before a leaf counts as taken; leaves that come meanwhile go to the disk
   * together. `never`: leaves survive the process, but not a crash of the machine; for disks that take tens of milliseconds.
   */
  readonly fsync?: 'group' | 'never' | undefined;
}

export interface JournalLimits {
  readonly directory: string;
  readonly maxLeaves: number;
  readonly maxBytes: number;
  readonly segmentBytes: number;
  readonly isSynced: boolean;
}

const MIB = 1024 * 1024;
const MOST_LEAVES = 1_000_000_000;
const SMALLEST_SEGMENT_BYTES = 64 * 1024;
const LARGEST_SEGMENT_BYTES = 8 * MIB;
/** Waste of up to four segments is left alone. */
const SEGMENTS = 16;

/** @throws {GatewayError} BAD_OPTIONS, with all that is wrong */
export function checkJournalOptions(options: JournalOptions): JournalLimits {
  const { directory, maxLeaves = 10_000_000, maxBytes = 1024 * MIB, fsync = 'group' } = options;
  const wrong: string[] = [];
  if (typeof directory !== 'string' || directory === '') wrong.push('directory must be a path');
  if (!isWhole(maxLeaves, 1, MOST_LEAVES)) {
    wrong.push(`maxLeaves must be a whole number from 1 to ${MOST_LEAVES}, not ${maxLeaves}`);
  }
  if (!isWhole(maxBytes, MIB, Number.MAX_SAFE_INTEGER)) {
    wrong.push(`maxBytes must be a whole number from ${MIB}, not ${maxBytes}`);
  }
  if (fsync !== 'group' && fsync !== 'never') wrong.push(`fsync must be group or never, not ${fsync}`);
  if (wrong.length > 0) throw new GatewayError('BAD_OPTIONS', `journalOutbox: ${wrong.join('; ')}`);
  const segmentBytes = Math.min(
    Math.max(Math.floor(maxBytes / SEGMENTS), SMALLEST_SEGMENT_BYTES),
    LARGEST_SEGMENT_BYTES,
  );
  return { directory, maxLeaves, maxBytes, segmentBytes, isSynced: fsync === 'group' };
}

function isWhole(value: number, least: number, most: number): boolean {
  return Number.isSafeInteger(value) && value >= least && value <= most;
}
