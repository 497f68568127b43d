import { equalHashes, type TreeHasher } from '../merkle/index.ts';
import { NotaryError } from './error.ts';
import { LogEdge } from './log-edge.ts';
import type { LogKeys } from './log-keys.ts';
import type { Logger } from './logger.ts';
import type { LogSnapshot, Storage } from './storage.ts';

export interface StoredEdgeDependencies {
  readonly storage: Pick<Storage, 'readLogTiles'>;
  readonly hasher: TreeHasher;
  readonly logger: Logger;
}

/**
 * Loads the right edge of a stored log. It must hash to the stored head, whose mac must be good: whoever owns the database
 * cannot have a history of their own extended or signed.
 *
 * @throws NotaryError LOG_CORRUPT; StorageError
 */
export async function loadStoredEdge(
  { storage, hasher, logger }: StoredEdgeDependencies,
  { cluster: { clusterId }, head }: LogSnapshot,
  keys: LogKeys,
): Promise<LogEdge> {
  if (!keys.hasGoodMac(head)) {
    throw logCorrupt(logger, clusterId, `the stored head of size ${head.size} has a wrong mac`);
  }
  const ranges = LogEdge.rangesOf(head.size);
  const packed = ranges.length === 0 ? [] : await storage.readLogTiles(clusterId, ranges);
  const edge = LogEdge.load(hasher, head.size, packed);
  if (!equalHashes(edge.root, head.root)) {
    throw logCorrupt(
      logger,
      clusterId,
      `the stored records do not hash to the stored head of size ${head.size}`,
    );
  }
  return edge;
}

/** Rows that contradict a head: said to the operator and to the caller. */
export function logCorrupt(logger: Logger, clusterId: string, what: string): NotaryError {
  logger.error({ clusterId, detail: what }, 'the stored log is corrupt');
  return new NotaryError('LOG_CORRUPT', `cluster ${clusterId}: ${what}`);
}
