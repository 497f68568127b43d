import { type Entry, type Storage, StorageError } from './storage.ts';

/** What the log holds of some request ids. */
export interface KnownEntries {
  readonly entries: readonly Entry[];
  /** Request ids that have a row which cannot be read, with what is wrong with it. */
  readonly unreadable: ReadonlyMap<string, StorageError>;
}

/**
 * Looks request ids up. Where a stored row is damaged they are asked for by halves, until the culprits are alone: one row that
 * cannot be read is of no concern to those who asked for others.
 *
 * @throws StorageError other than CORRUPT
 */
export async function findKnownEntries(
  storage: Storage,
  clusterId: string,
  requestIds: readonly string[],
): Promise<KnownEntries> {
  try {
    const entries = await storage.findEntriesByRequestId(clusterId, requestIds);
    return { entries, unreadable: new Map() };
  } catch (error) {
    if (!(error instanceof StorageError && error.code === 'CORRUPT')) throw error;
    const [first] = requestIds;
    if (first === undefined) throw error;
    if (requestIds.length === 1) return { entries: [], unreadable: new Map([[first, error]]) };
  }
  const middle = Math.ceil(requestIds.length / 2);
  const left = await findKnownEntries(storage, clusterId, requestIds.slice(0, middle));
  const right = await findKnownEntries(storage, clusterId, requestIds.slice(middle));
  return {
    entries: [...left.entries, ...right.entries],
    unreadable: new Map([...left.unreadable, ...right.unreadable]),
  };
}
