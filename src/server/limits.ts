/** What the edge lets one caller, and all callers together, take up. */
export interface ServerLimits {
  /** Leaves in one CreateAnchor; 1 to 4,194,304. */
  readonly maxLeafCount: number;
  /** Bytes of one CreateAnchor request; up to 160 MiB. */
  readonly maxMessageBytes: number;
  /** Bytes of requests, partly or wholly received, of all calls that have not ended, and of big answers not yet read. */
  readonly memoryBudgetBytes: number;
  /** Big messages (see `FREE_READ_BYTES`) being received at once. */
  readonly concurrentReads: number;
  readonly readsPerConnection: number;
  /** After this time a sender of a big message keeps its place, and an unread answer its memory, only while nobody needs it. */
  readonly readTimeoutMs: number;
  /** For reads that come without a deadline. CreateAnchor waits. */
  readonly readDeadlineMs: number;
  /** Calls of one connection at once. */
  readonly maxConcurrentStreams: number;
  /** Give or take a tenth, so that clients spread over replicas again; 0 for no limit. */
  readonly maxConnectionAgeMs: number;
  /** How long the calls of a connection past its age may go on. */
  readonly maxConnectionAgeGraceMs: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

export const DEFAULT_LIMITS: ServerLimits = {
  maxLeafCount: 1_048_576,
  maxMessageBytes: 40 * MIB,
  memoryBudgetBytes: 256 * MIB,
  concurrentReads: 16,
  readsPerConnection: 4,
  readTimeoutMs: 10_000,
  readDeadlineMs: 30_000,
  maxConcurrentStreams: 256,
  maxConnectionAgeMs: 30 * 60_000,
  maxConnectionAgeGraceMs: 10 * 60_000,
};

/** Above this leaf count answers list no leaf_indices: clients accept 4 MiB. */
export const MAX_LISTED_LEAF_INDICES = 1_048_576;

/**
 * A request other than CreateAnchor is small; what it decodes to is many objects, not bytes, so that one of 40 MiB could
 * fill the heap (20 million empty references).
 */
export const MAX_SMALL_MESSAGE_BYTES = 256 * KIB;

/** All messages together of a call whose requests are a stream (only reflection has such). */
export const MAX_REQUEST_STREAM_BYTES = 64 * KIB;

/** The initial HTTP/2 window: what a peer may send unasked. Messages within it are read at once. */
export const FREE_READ_BYTES = 64 * KIB;

/** What a byte of deflate or gzip can become at most (zlib, "Technical Details": 1032:1). */
export const MAX_INFLATION = 1032;

const RANGES: Readonly<Record<keyof ServerLimits, readonly [min: number, max: number]>> = {
  maxLeafCount: [1, 4_194_304],
  maxMessageBytes: [KIB, 160 * MIB],
  memoryBudgetBytes: [KIB, Number.MAX_SAFE_INTEGER],
  concurrentReads: [1, 1024],
  readsPerConnection: [1, 1024],
  readTimeoutMs: [1, 3_600_000],
  readDeadlineMs: [1, 3_600_000],
  maxConcurrentStreams: [1, 65_536],
  maxConnectionAgeMs: [0, 0x7fff_ffff / 2],
  maxConnectionAgeGraceMs: [0, 0x7fff_ffff],
};

/** Fills in the defaults. @throws {RangeError} naming the limit that is outside of its range */
export function resolveLimits(limits: Partial<ServerLimits> = {}): ServerLimits {
  const resolved = { ...DEFAULT_LIMITS, ...limits };
  for (const [name, [min, max]] of Object.entries(RANGES)) {
    const value = resolved[name as keyof ServerLimits];
    if (!Number.isInteger(value) || value < min || value > max) {
      throw new RangeError(`${name} is ${value}, it must be a whole number from ${min} to ${max}`);
    }
  }
  return resolved;
}
