import type { TreeHasher } from '../merkle/index.ts';
import type { ClusterLog } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import type { OpenLogs } from './open-logs.ts';
import { checkLeafIndex, pastTheEnd, proveLeaves, proveRecord } from './receipts.ts';
import type {
  AnchorPage,
  AnchorQuery,
  BatchReceipts,
  LeafPage,
  LeafQuery,
  LeafReference,
  LogDescription,
  Receipt,
} from './service.ts';
import type { EntryOfCluster, Head, Storage } from './storage.ts';
import { readAnchorRecord } from './stored-entry.ts';

export interface ReadingDependencies {
  readonly logs: OpenLogs;
  readonly storage: Storage;
  readonly hasher: TreeHasher;
}

/** What verifiers ask: anchors, leaves, receipts, checkpoints. Answers come from durable, signed heads only. */
export class Reading {
  readonly #logs: OpenLogs;
  readonly #storage: Storage;
  readonly #hasher: TreeHasher;

  constructor({ logs, storage, hasher }: ReadingDependencies) {
    this.#logs = logs;
    this.#storage = storage;
    this.#hasher = hasher;
  }

  async anchor(anchorId: string, clusterId: string | undefined): Promise<EntryOfCluster> {
    const entry = await this.#storage.findEntry(anchorId, clusterId);
    if (entry === undefined) {
      // An unknown cluster is the better answer where one was named.
      if (clusterId !== undefined) await this.#logs.get(clusterId);
      throw anchorNotFound(anchorId);
    }
    readAnchorRecord(entry, entry.clusterId);
    // Seen is not durable: an anchor is shown once a head that covers it may be signed.
    const { log } = await this.#logs.get(entry.clusterId);
    await this.#headCovering(log, entry.logIndex);
    return entry;
  }

  async anchors({ clusterId, fromLogIndex, limit, startMs, endMs }: AnchorQuery): Promise<AnchorPage> {
    const { log } = await this.#logs.get(clusterId);
    // Not the head that this process has: whoever lists wants what other replicas appended, too.
    await log.refresh();
    const head = await log.durableHeadOver(0);
    const first =
      startMs === undefined ? 0 : ((await this.#storage.firstLogIndexSince(clusterId, startMs)) ?? head.size);
    const since = endMs === undefined ? undefined : await this.#storage.firstLogIndexSince(clusterId, endMs);
    const end = Math.min(head.size, since ?? head.size);
    const from = Math.max(first, fromLogIndex);
    if (from >= end) return { entries: [], nextLogIndex: undefined };
    const count = Math.min(limit, end - from);
    const entries = await this.#storage.listEntries(clusterId, from, count);
    return {
      // An entry without leaves (a succession record) is no anchor.
      entries: entries
        .filter(({ anchorId }) => anchorId !== undefined)
        .map((entry) => ({ ...entry, clusterId })),
      nextLogIndex: from + count < end ? from + count : undefined,
    };
  }

  async leaves({ anchorId, clusterId, firstLeafIndex, limit }: LeafQuery): Promise<LeafPage> {
    const entry = await this.anchor(anchorId, clusterId);
    checkLeafIndex(entry, firstLeafIndex);
    const count = Math.min(limit, entry.leafCount - firstLeafIndex);
    const range = { anchorId, column: 'leaves', first: firstLeafIndex, count } as const;
    const [packedLeaves = new Uint8Array()] = await this.#storage.readBatchRanges(entry.clusterId, [range]);
    const next = firstLeafIndex + count;
    return { packedLeaves, firstLeafIndex, nextLeafIndex: next < entry.leafCount ? next : undefined };
  }

  async receipt(
    { anchorId, leafIndex, clusterId }: LeafReference & { readonly clusterId: string | undefined },
    treeSize: number,
  ): Promise<Receipt> {
    const entry = await this.#storage.findEntry(anchorId, clusterId);
    if (entry === undefined) {
      if (clusterId !== undefined) await this.#logs.get(clusterId);
      throw anchorNotFound(anchorId);
    }
    readAnchorRecord(entry, entry.clusterId);
    checkLeafIndex(entry, leafIndex);
    const { log } = await this.#logs.get(entry.clusterId);
    const head = await this.#head(log, entry.logIndex, treeSize);
    const [leaves, record, checkpoint] = await Promise.all([
      proveLeaves(this.#storage, this.#hasher, entry.clusterId, [{ entry, leafIndexes: [leafIndex] }]),
      proveRecord(log, this.#hasher, entry, head),
      log.checkpoint(head),
    ]);
    const leaf = leaves[0]?.[0];
    if (leaf === undefined) throw new Error('one leaf was to be proven');
    return { ...leaf, ...record, checkpoint };
  }

  async receipts(
    clusterId: string,
    references: readonly LeafReference[],
    treeSize: number,
  ): Promise<BatchReceipts> {
    const { log } = await this.#logs.get(clusterId);
    const leafIndexesOf = new Map<string, number[]>();
    for (const { anchorId, leafIndex } of references) {
      const leafIndexes = leafIndexesOf.get(anchorId);
      if (leafIndexes === undefined) leafIndexesOf.set(anchorId, [leafIndex]);
      else leafIndexes.push(leafIndex);
    }
    const found = await this.#storage.findEntries(clusterId, [...leafIndexesOf.keys()]);
    const entryOf = new Map(found.map((entry) => [entry.anchorId, entry]));
    const anchors = [...leafIndexesOf].map(([anchorId, leafIndexes]) => {
      const entry = entryOf.get(anchorId);
      if (entry === undefined) throw anchorNotFound(anchorId);
      readAnchorRecord(entry, clusterId);
      return { entry, leafIndexes };
    });
    const newest = Math.max(...anchors.map(({ entry }) => entry.logIndex));
    const leaves = await proveLeaves(this.#storage, this.#hasher, clusterId, anchors);
    const head = await this.#head(log, newest, treeSize);
    const records = await Promise.all(
      anchors.map(({ entry }) => proveRecord(log, this.#hasher, entry, head)),
    );
    return {
      checkpoint: await log.checkpoint(head),
      anchors: records.map((record, i) => ({ ...record, leaves: leaves[i] ?? [] })),
    };
  }

  async consistencyPath(
    clusterId: string,
    firstSize: number,
    secondSize: number,
  ): Promise<readonly Uint8Array[]> {
    const { log } = await this.#logs.get(clusterId);
    await log.headAt(secondSize);
    await log.headAt(firstSize);
    return log.consistencyPath(firstSize, secondSize);
  }

  async checkpoint(clusterId: string, treeSize: number): Promise<string> {
    const { log } = await this.#logs.get(clusterId);
    if (treeSize > 0) return log.checkpoint(await log.headAt(treeSize));
    await log.refresh();
    return log.checkpoint(await log.durableHeadOver(0));
  }

  async log(clusterId: string): Promise<LogDescription> {
    const { log } = await this.#logs.get(clusterId);
    return { clusterId, origin: log.cluster.origin, keys: log.keys.rows };
  }

  /** The head that a proof of this entry is given against; size 0 is the newest. */
  async #head(log: ClusterLog, logIndex: number, treeSize: number): Promise<Pick<Head, 'size' | 'root'>> {
    if (treeSize === 0) return this.#headCovering(log, logIndex);
    if (treeSize <= logIndex) {
      throw new NotaryError(
        'TREE_SIZE_OUT_OF_RANGE',
        `tree_size ${treeSize} does not reach the anchor's log_index ${logIndex}`,
      );
    }
    return log.headAt(treeSize);
  }

  async #headCovering(log: ClusterLog, logIndex: number): Promise<Head> {
    const head = await log.newestHead(logIndex + 1);
    if (head.size > logIndex) return head;
    throw pastTheEnd(log, { logIndex }, head);
  }
}

function anchorNotFound(anchorId: string): NotaryError {
  return new NotaryError('ANCHOR_NOT_FOUND', `there is no anchor ${anchorId}`);
}
