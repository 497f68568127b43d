import { NotaryError } from './error.ts';
import type { Cluster } from './storage.ts';

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
