import { setTimeout as sleep } from 'node:timers/promises';
import type { TreeHasher } from '../merkle/index.ts';
import { Anchoring } from './anchoring.ts';
import { LogReader } from './log-reader.ts';
import type { Logger } from './logger.ts';
import { OpenLogs } from './open-logs.ts';
import { Reading } from './reading.ts';
import { asNotaryError, shuttingDown } from './refusal.ts';
import { ClusterRegistry } from './registry.ts';
import type { Notary, Registry } from './service.ts';
import type { Signing } from './signing.ts';
import type { Storage } from './storage.ts';

export interface NotaryOptions {
  readonly storage: Storage;
  readonly signing: Signing;
  /** `merkle/fast` on a server. */
  readonly hasher: TreeHasher;
  readonly logger: Logger;
  /** First part of the origin of new clusters: `<origin prefix>/<cluster_id>`. */
  readonly originPrefix: string;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Anchors that wait for one cluster before QUEUE_FULL, default 10,000. */
  readonly maxQueuedAnchors?: number;
  /** How long a call waits for a lost answer of the database to be resolved, default 10 s. */
  readonly outcomePatienceMs?: number;
}

/** The domain, assembled. */
export function createNotary(options: NotaryOptions): {
  readonly notary: Notary;
  readonly registry: Registry;
} {
  const { storage, signing, hasher, logger, originPrefix, now = Date.now } = options;
  const reader = new LogReader(storage, hasher);
  const logs = new OpenLogs({
    storage,
    signing,
    hasher,
    reader,
    logger,
    now,
    maxQueuedAnchors: options.maxQueuedAnchors ?? 10_000,
    outcomePatienceMs: options.outcomePatienceMs ?? 10_000,
  });
  const anchoring = new Anchoring({ logs, storage, hasher, now });
  const reading = new Reading({ logs, storage, hasher });
  const registry = new ClusterRegistry({ logs, storage, signing, hasher, now, originPrefix });
  let draining = false;
  const submissions = new Set<Promise<unknown>>();
  const closing = new AbortController();

  const notary: Notary = {
    async createAnchor(submission) {
      if (draining) throw shuttingDown();
      const answer = guarded(() => anchoring.create(submission));
      submissions.add(answer);
      try {
        return await answer;
      } finally {
        submissions.delete(answer);
      }
    },
    getAnchor: (anchorId, clusterId) => guarded(() => reading.anchor(anchorId, clusterId)),
    listAnchors: (query) => guarded(() => reading.anchors(query)),
    listLeaves: (query) => guarded(() => reading.leaves(query)),
    getReceipt: (reference, treeSize) => guarded(() => reading.receipt(reference, treeSize)),
    getReceipts: (clusterId, references, treeSize) =>
      guarded(() => reading.receipts(clusterId, references, treeSize)),
    getConsistencyPath: (clusterId, first, second) =>
      guarded(() => reading.consistencyPath(clusterId, first, second)),
    getCheckpoint: (clusterId, treeSize) => guarded(() => reading.checkpoint(clusterId, treeSize)),
    watchCheckpoints: (clusterId, signal) =>
      watching(reading, clusterId, AbortSignal.any([signal, closing.signal])),
    getLog: (clusterId) => guarded(() => reading.log(clusterId)),
    async drain(timeoutMs) {
      draining = true;
      closing.abort();
      const answered = Promise.allSettled(submissions);
      const timeout = new AbortController();
      await Promise.race([
        answered,
        sleep(timeoutMs, undefined, { signal: timeout.signal }).catch(() => undefined),
      ]);
      timeout.abort();
      logs.abandon();
    },
  };
  return {
    notary,
    registry: {
      createCluster: (request) => guarded(() => registry.create(request)),
      getCluster: (clusterId) => guarded(() => registry.get(clusterId)),
      listClusters: (after, limit) => guarded(() => registry.list(after, limit)),
      freezeCluster: (clusterId, reason) => guarded(() => registry.freeze(clusterId, reason)),
      thawCluster: (clusterId, reason, checkpoint) =>
        guarded(() => registry.thaw(clusterId, reason, checkpoint)),
    },
  };
}

const WATCH_INTERVAL_MS = 1000;

async function* watching(reading: Reading, clusterId: string, signal: AbortSignal): AsyncIterable<string> {
  let last = '';
  while (!signal.aborted) {
    const checkpoint = await guarded(() => reading.checkpoint(clusterId, 0));
    if (checkpoint !== last) yield checkpoint;
    last = checkpoint;
    await sleep(WATCH_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Everything that leaves the domain is a `NotaryError`, or a defect. */
async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asNotaryError(error);
  }
}
