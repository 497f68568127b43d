import { randomUUID } from 'node:crypto';
import { EMPTY_ROOT, equalHashes, type TreeHasher } from '../merkle/index.ts';
import { checkOrigin, ED25519, formatVkey } from '../note/index.ts';
import { formatSuccessionRecord } from '../record/index.ts';
import { attemptOf } from './attempt.ts';
import type { ClusterLog } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import { readCheckpoint, verifySignature } from './known-checkpoint.ts';
import { LogEdge } from './log-edge.ts';
import { LogKeys } from './log-keys.ts';
import { clusterNotFound, type OpenLogs } from './open-logs.ts';
import type { CreateCluster } from './service.ts';
import type { Signing } from './signing.ts';
import type { Cluster, Head, LogKeyRow, NewCluster, Storage } from './storage.ts';

export interface RegistryDependencies {
  readonly logs: OpenLogs;
  readonly storage: Storage;
  readonly signing: Signing;
  readonly hasher: TreeHasher;
  readonly now: () => number;
  readonly originPrefix: string;
}

const FIRST_EPOCH = 1;

/** Clusters and their states, for operators. */
export class ClusterRegistry {
  readonly #dependencies: RegistryDependencies;

  constructor(dependencies: RegistryDependencies) {
    this.#dependencies = dependencies;
  }

  /** @throws NotaryError INVALID_ARGUMENT, CLUSTER_EXISTS, REQUEST_ID_REUSED, CLUSTER_NOT_FOUND, PREDECESSOR_REFUSED */
  async create(request: CreateCluster): Promise<Cluster> {
    const { storage, signing, originPrefix, now } = this.#dependencies;
    const clusterId = request.clusterId ?? randomUUID();
    const origin = checkOrigin(`${originPrefix}/${clusterId}`);
    const key: LogKeyRow = {
      epoch: FIRST_EPOCH,
      type: ED25519,
      vkey: formatVkey((await signing.logKey(origin, FIRST_EPOCH)).key),
      seedId: signing.seedId,
      firstSize: 0,
      lastSize: undefined,
    };
    const keys = await LogKeys.open(origin, [key], signing);
    const empty = { size: 0, root: EMPTY_ROOT, prevSize: undefined, prevRoot: undefined };
    const genesis: Head = { ...empty, mac: keys.mac(empty), epoch: FIRST_EPOCH };
    const createdAtMs = now();
    const outcome = await storage.createCluster({
      cluster: {
        clusterId,
        displayName: request.displayName,
        origin,
        requestId: request.requestId,
        predecessorId: request.predecessorId,
        createdAtMs,
      },
      genesis,
      keys: [key],
      ...(request.predecessorId === undefined
        ? { first: undefined }
        : await this.#succession(clusterId, request.predecessorId, genesis, keys, createdAtMs)),
    });
    switch (outcome.kind) {
      case 'created':
        return outcome.cluster;
      case 'replayed':
        return sameCluster(outcome.cluster, request);
      case 'exists':
        throw new NotaryError('CLUSTER_EXISTS', `there is a cluster ${clusterId} already`);
      case 'predecessorRefused':
        throw predecessorRefused(
          request.predecessorId,
          'it is neither sealed nor recovering, or has a successor already',
        );
    }
  }

  /** @throws NotaryError CLUSTER_NOT_FOUND */
  async get(clusterId: string): Promise<Cluster> {
    const cluster = await this.#dependencies.storage.readCluster(clusterId);
    if (cluster === undefined) throw clusterNotFound(clusterId);
    return cluster;
  }

  list(afterClusterId: string | undefined, limit: number): Promise<readonly Cluster[]> {
    return this.#dependencies.storage.listClusters(afterClusterId, limit);
  }

  /** Appends in flight end first: a freeze that has returned is a freeze. Freezing a frozen cluster changes its reason. */
  async freeze(clusterId: string, reason: string): Promise<Cluster> {
    const { storage } = this.#dependencies;
    const frozen = await storage.changeState({ clusterId, from: ['active', 'frozen'], to: 'frozen', reason });
    if (frozen !== undefined) return frozen;
    const { state } = await this.get(clusterId);
    throw new NotaryError(
      state === 'recovering' ? 'CLUSTER_RECOVERING' : 'CLUSTER_SEALED',
      `cluster ${clusterId} is ${state} and takes no anchors already`,
    );
  }

  /**
   * From `recovering` back to what the cluster was before, active or frozen; from `frozen` to active.
   *
   * @throws NotaryError CLUSTER_NOT_FOUND, INVALID_ARGUMENT, THAW_REFUSED, CLUSTER_SEALED, LOG_FORKED, LOG_ROLLED_BACK
   */
  async thaw(clusterId: string, reason: string, confirmedCheckpoint: string): Promise<Cluster> {
    const { storage, logs } = this.#dependencies;
    const cluster = await this.get(clusterId);
    switch (cluster.state) {
      case 'active':
        return cluster;
      case 'sealed':
        throw new NotaryError(
          'CLUSTER_SEALED',
          `cluster ${clusterId} is sealed for ever; create a successor`,
        );
      case 'frozen': {
        const change = { clusterId, to: 'active', reason, expectedVersion: cluster.stateVersion } as const;
        return changedOrRefused(await storage.changeState({ ...change, from: ['frozen'] }), clusterId);
      }
      case 'recovering':
        break;
    }
    if (confirmedCheckpoint === '') {
      throw new NotaryError(
        'THAW_REFUSED',
        'give the newest checkpoint known outside the database as confirmed_checkpoint',
      );
    }
    const { log } = await logs.get(clusterId);
    const checkpoint = readCheckpoint(confirmedCheckpoint, 'confirmed_checkpoint');
    verifySignature(log, confirmedCheckpoint, 'confirmed_checkpoint');
    await refreshed(log);
    const lost = await log.signedButLost();
    if (lost !== undefined) {
      throw await log.declare(
        'sealed',
        'LOG_FORKED',
        `this server signed size ${lost.size}, which the stored log lacks`,
      );
    }
    const { head } = log.tail;
    if (checkpoint.size > head.size || !equalHashes(await log.rootAt(checkpoint.size), checkpoint.root)) {
      throw new NotaryError(
        'THAW_REFUSED',
        `the stored log (size ${head.size}) does not contain the checkpoint of size ${checkpoint.size}; restore what is missing, or go on in a successor`,
      );
    }
    if (!(await storage.confirmDurable(clusterId, head))) {
      throw new NotaryError(
        'THAW_REFUSED',
        `the log of cluster ${clusterId} changed meanwhile; look and try again`,
      );
    }
    return changedOrRefused(
      await storage.changeState({
        clusterId,
        from: ['recovering'],
        // That nothing was lost is no reason to end a freeze.
        to: cluster.frozenReason === undefined ? 'active' : 'frozen',
        reason: cluster.frozenReason ?? reason,
        expectedVersion: cluster.stateVersion,
        confirmedSize: checkpoint.size,
      }),
      clusterId,
    );
  }

  /** The first entry of a successor says where it comes from. */
  async #succession(
    clusterId: string,
    predecessorId: string,
    genesis: Head,
    keys: LogKeys,
    createdAtMs: number,
  ): Promise<Pick<NewCluster, 'first' | 'giveUp'>> {
    const { logs, hasher } = this.#dependencies;
    const { log } = await logs.get(predecessorId);
    await refreshed(log);
    const { state, stateReason, stateVersion } = log.cluster;
    if (state !== 'sealed' && state !== 'recovering')
      throw predecessorRefused(predecessorId, `it is ${state}, neither sealed nor recovering`);
    // Whoever has nothing to thaw it with gives it up by naming it here: nothing that it may lack is signed again.
    const giveUp =
      state === 'recovering'
        ? { reason: `given up for a successor; ${stateReason}`, expectedVersion: stateVersion }
        : undefined;
    const { size, root } = await log.durableHead();
    const record = formatSuccessionRecord({
      clusterId,
      predecessorId,
      predecessorOrigin: log.cluster.origin,
      predecessorSize: size,
      predecessorRoot: root,
      reason: giveUp?.reason ?? stateReason,
      createdAtMs,
    });
    const entry = {
      logIndex: 0,
      anchorId: undefined,
      leafCount: 0,
      root: undefined,
      requestId: undefined,
      record,
      recordHash: hasher.leafHash(record),
      createdAtMs,
    };
    const edge = LogEdge.load(hasher, 0, []);
    const { group } = attemptOf(
      { clusterId, head: genesis, edge, keys },
      { entries: [entry], batches: [], storedBatches: [] },
      createdAtMs,
    );
    return { first: group, giveUp };
  }
}

/** Evidence that comes up here has changed the state, which is what decides. @throws NotaryError LOG_CORRUPT, StorageError */
async function refreshed(log: ClusterLog): Promise<void> {
  try {
    await log.refresh();
  } catch (error) {
    const isDeclared =
      error instanceof NotaryError && (error.code === 'LOG_ROLLED_BACK' || error.code === 'LOG_FORKED');
    if (!isDeclared) throw error;
  }
}

/** @throws NotaryError REQUEST_ID_REUSED where the request id made another cluster than the one asked for now */
function sameCluster(
  cluster: Cluster,
  { clusterId, displayName, predecessorId, requestId }: CreateCluster,
): Cluster {
  const same =
    (clusterId === undefined || clusterId === cluster.clusterId) &&
    displayName === cluster.displayName &&
    predecessorId === cluster.predecessorId;
  if (same) return cluster;
  throw new NotaryError(
    'REQUEST_ID_REUSED',
    `request_id ${requestId} made cluster ${cluster.clusterId} of other content`,
  );
}

function predecessorRefused(predecessorId: string | undefined, why: string): NotaryError {
  return new NotaryError('PREDECESSOR_REFUSED', `cluster ${predecessorId} cannot be succeeded: ${why}`);
}

/** @throws NotaryError THAW_REFUSED where the guarded change did not apply */
function changedOrRefused(cluster: Cluster | undefined, clusterId: string): Cluster {
  if (cluster !== undefined) return cluster;
  throw new NotaryError(
    'THAW_REFUSED',
    `the state of cluster ${clusterId} changed meanwhile; look and try again`,
  );
}
