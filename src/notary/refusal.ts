import { NotaryError } from './error.ts';
import { type Cluster, StorageError } from './storage.ts';

/** Why a cluster that is not active takes no anchors. */
export function notActive({ clusterId, state, stateReason }: Cluster): NotaryError {
  const because = stateReason === '' ? '' : `: ${stateReason}`;
  switch (state) {
    case 'frozen':
      return new NotaryError('CLUSTER_FROZEN', `cluster ${clusterId} is frozen${because}`);
    case 'sealed':
      return new NotaryError('CLUSTER_SEALED', `cluster ${clusterId} is sealed${because}`);
    case 'recovering':
      return new NotaryError('CLUSTER_RECOVERING', `cluster ${clusterId} is recovering${because}`);
    case 'active':
      return new NotaryError('STORAGE_UNAVAILABLE', `cluster ${clusterId} has just become active; retry`);
  }
}

export function databaseAway(cause?: unknown): NotaryError {
  return new NotaryError('STORAGE_UNAVAILABLE', 'the database is not available; retry', { cause });
}

export function cancelled(): NotaryError {
  return new NotaryError('CANCELLED', 'the call ended before its anchor was sequenced; nothing was written');
}

export function shuttingDown(): NotaryError {
  return new NotaryError('DRAINING', 'the server is shutting down; retry with another one');
}

/** What storage throws, in the domain's words; a defect stays what it is, for the edge to hide and log. */
export function asNotaryError(error: unknown): Error {
  if (error instanceof StorageError && error.code === 'UNAVAILABLE') return databaseAway(error);
  if (error instanceof StorageError && error.code === 'CORRUPT') {
    // What the adapter found by itself says where; what the database said is not for callers.
    const where = error.cause === undefined ? `: ${error.message}` : '';
    return new NotaryError('LOG_CORRUPT', `stored rows contradict one another${where}`, { cause: error });
  }
  return error instanceof Error
    ? error
    : new Error('something that is no error was thrown', { cause: error });
}
