import { equalHashes } from '../../src/merkle/index.ts';
import {
  type AppendGroup,
  type AppendOutcome,
  type BatchRange,
  type Cluster,
  type CreateClusterOutcome,
  type Entry,
  type Head,
  type LogKeyRow,
  type LogNode,
  type LogSnapshot,
  type LogTileRange,
  type NewCluster,
  type StateChange,
  StorageError,
  type StoredBatch,
} from '../../src/notary/storage.ts';

/** A head as the table has it: the root of the one before is joined when it is read. */
type StoredHead = Omit<Head, 'prevRoot'>;

/** All rows of one cluster. Tests change them as the owner of a database would. */
export interface StoredLog {
  cluster: Cluster;
  readonly heads: Map<number, StoredHead>;
  readonly entries: Map<number, Entry>;
  readonly batches: Map<string, StoredBatch>;
  readonly nodes: Map<string, LogNode>;
  keys: LogKeyRow[];
}

/**
 * The rows that several replicas share, with the semantics of the SQL: every method is one statement, all of it or nothing.
 * A row can be visible before it is durable; `failOver` takes such rows back.
 */
export class MemoryDatabase {
  readonly logs = new Map<string, StoredLog>();
  /** What the database answers 22, 23 or 54 to. */
  refuses: (entry: Entry) => boolean = () => false;
  /** Commits that were seen, but may be taken back. */
  #volatile: Volatile[] = [];

  log(clusterId: string): StoredLog {
    const log = this.logs.get(clusterId);
    if (log === undefined) throw new Error(`no cluster ${clusterId}`);
    return log;
  }

  /** Loses all that was seen and not yet made durable. */
  failOver(): void {
    for (const { undo } of this.#volatile.splice(0).reverse()) undo();
  }

  /** A commit that was acknowledged makes everything before it durable. */
  makeDurable(): void {
    this.#volatile = [];
  }

  /** Whether this head is committed, and stays so whatever happens. */
  isDurable(clusterId: string, size: number, root: Uint8Array): boolean {
    const head = this.logs.get(clusterId)?.heads.get(size);
    return (
      head !== undefined &&
      equalHashes(head.root, root) &&
      !this.#volatile.some((commit) => commit.head === head)
    );
  }

  newestHead(clusterId: string): Head {
    const log = this.log(clusterId);
    const size = Math.max(...log.heads.keys());
    const head = this.headOf(log, size);
    if (head === undefined) throw new StorageError('CORRUPT', `cluster ${clusterId} has no heads`);
    return head;
  }

  headOf(log: StoredLog, size: number): Head | undefined {
    const head = log.heads.get(size);
    if (head === undefined) return undefined;
    const prevRoot = head.prevSize === undefined ? undefined : log.heads.get(head.prevSize)?.root;
    return { ...head, prevRoot };
  }

  snapshot(clusterId: string): LogSnapshot | undefined {
    const log = this.logs.get(clusterId);
    if (log === undefined) return undefined;
    const head = this.newestHead(clusterId);
    const before = [...log.entries.keys()].filter((logIndex) => logIndex < head.size);
    const last = before.length === 0 ? undefined : log.entries.get(before.reduce((a, b) => Math.max(a, b)));
    return { cluster: log.cluster, head, lastCreatedAtMs: last?.createdAtMs };
  }

  /** The compare-and-set append. `durable` false: committed here, but no standby has it yet. */
  append(group: AppendGroup, durable = true): AppendOutcome {
    checkContiguous(group);
    const log = this.logs.get(group.clusterId);
    const nothing = { kind: 'refused', knownRequestIds: [] } as const;
    if (log === undefined) return nothing;
    const stored = new Set([...log.entries.values()].map(({ requestId }) => requestId));
    const known = group.entries.flatMap(({ requestId }) =>
      requestId !== undefined && stored.has(requestId) ? [requestId] : [],
    );
    const missing = group.storedBatches.filter((anchorId) => !log.batches.has(anchorId));
    if (missing.length > 0) return { kind: 'batchesMissing', anchorIds: missing };
    const old = log.heads.get(group.oldHead.size);
    const { newHead } = group;
    if (known.length > 0) return { kind: 'refused', knownRequestIds: known };
    if (log.cluster.state !== 'active') return nothing;
    if (old === undefined || !equalHashes(old.root, group.oldHead.root)) return nothing;
    // ON CONFLICT DO NOTHING, on both unique keys of heads.
    if (log.heads.has(newHead.size)) return nothing;
    if ([...log.heads.values()].some(({ prevSize }) => prevSize === old.size)) return nothing;
    if (group.entries.some((entry) => this.refuses(entry))) {
      return { kind: 'rejected', cause: new Error('22021: refused bytes') };
    }
    if (violatesUnique(log, group)) {
      return { kind: 'conflict', duplicateKey: true, cause: new Error('23505: duplicate key') };
    }
    const { prevRoot: _joined, ...head } = newHead;
    log.heads.set(head.size, head);
    for (const entry of group.entries) log.entries.set(entry.logIndex, entry);
    for (const batch of group.batches) log.batches.set(batch.anchorId, copyOf(batch));
    for (const node of group.logNodes) log.nodes.set(`${node.level}/${node.index}`, node);
    if (durable) this.makeDurable();
    else this.#volatile.push({ head, undo: () => takeBack(log, group) });
    return { kind: 'appended' };
  }

  storeBatch(clusterId: string, batch: StoredBatch): void {
    const { batches } = this.log(clusterId);
    if (!batches.has(batch.anchorId)) batches.set(batch.anchorId, copyOf(batch));
  }

  createCluster({ cluster, genesis, keys, first, giveUp }: NewCluster): CreateClusterOutcome {
    const all = [...this.logs.values()].map((log) => log.cluster);
    const twin = all.find(
      ({ requestId }) => cluster.requestId !== undefined && requestId === cluster.requestId,
    );
    if (twin !== undefined) return { kind: 'replayed', cluster: twin };
    if (this.logs.has(cluster.clusterId)) return { kind: 'exists' };
    if (cluster.predecessorId !== undefined) {
      const predecessor = this.logs.get(cluster.predecessorId);
      const isNamed =
        giveUp === undefined
          ? predecessor?.cluster.state === 'sealed'
          : predecessor?.cluster.state === 'recovering' &&
            predecessor.cluster.stateVersion === giveUp.expectedVersion;
      if (predecessor === undefined || !isNamed || predecessor.cluster.successorId !== undefined) {
        return { kind: 'predecessorRefused' };
      }
      const { reason: stateReason } = giveUp ?? { reason: predecessor.cluster.stateReason };
      const stateVersion = predecessor.cluster.stateVersion + (giveUp === undefined ? 0 : 1);
      const sealed = { state: 'sealed', stateReason, stateVersion, frozenReason: undefined } as const;
      predecessor.cluster = { ...predecessor.cluster, ...sealed, successorId: cluster.clusterId };
    }
    const { prevRoot: _none, ...head } = genesis;
    const created: Cluster = {
      ...cluster,
      state: 'active',
      stateReason: '',
      stateVersion: 1,
      confirmedSize: undefined,
      successorId: undefined,
      frozenReason: undefined,
    };
    this.logs.set(cluster.clusterId, {
      cluster: created,
      heads: new Map([[0, head]]),
      entries: new Map(),
      batches: new Map(),
      nodes: new Map(),
      keys: [...keys],
    });
    if (first !== undefined && this.append(first).kind !== 'appended') {
      throw new StorageError('INTERNAL', 'the first entry does not fit the genesis');
    }
    this.makeDurable();
    return { kind: 'created', cluster: created };
  }

  changeState(change: StateChange): Cluster | undefined {
    const log = this.logs.get(change.clusterId);
    if (log === undefined || !change.from.includes(log.cluster.state)) return undefined;
    const { expectedVersion, confirmedSize = log.cluster.confirmedSize } = change;
    if (expectedVersion !== undefined && expectedVersion !== log.cluster.stateVersion) return undefined;
    const stateVersion = log.cluster.stateVersion + 1;
    const { state, stateReason } = log.cluster;
    log.cluster = {
      ...log.cluster,
      state: change.to,
      stateReason: change.reason,
      stateVersion,
      confirmedSize,
      frozenReason: change.to === 'recovering' && state === 'frozen' ? stateReason : undefined,
    };
    this.makeDurable();
    return log.cluster;
  }

  readLogTiles(clusterId: string, ranges: readonly LogTileRange[]): Uint8Array[] {
    const { entries, nodes } = this.log(clusterId);
    return ranges.map(({ level, first, count }) => {
      const hashes = Array.from({ length: count }, (_, i) =>
        level === 0 ? entries.get(first + i)?.recordHash : nodes.get(`${level}/${first + i}`)?.hash,
      ).filter((hash) => hash !== undefined);
      if (hashes.length < count) {
        const found = `${hashes.length} of the ${count} hashes of level ${level} from number ${first} on`;
        throw new StorageError('CORRUPT', `cluster ${clusterId} has ${found}`);
      }
      return new Uint8Array(Buffer.concat(hashes));
    });
  }

  readBatchRanges(clusterId: string, ranges: readonly BatchRange[]): Uint8Array[] {
    const { batches } = this.log(clusterId);
    return ranges.map(({ anchorId, column, first, count }) => {
      const bytes = batches.get(anchorId)?.[column].slice(first * 32, (first + count) * 32);
      if (bytes?.length !== count * 32) {
        throw new StorageError('CORRUPT', `anchor ${anchorId} lacks some of its ${column}`);
      }
      return bytes;
    });
  }

  /** Entries by log_index. */
  entriesOf(clusterId: string): Entry[] {
    const log = this.logs.get(clusterId);
    return log === undefined ? [] : [...log.entries.values()].sort((a, b) => a.logIndex - b.logIndex);
  }

  /** Heads by size. */
  headsOf(clusterId: string): Head[] {
    const log = this.logs.get(clusterId);
    if (log === undefined) return [];
    return [...log.heads.keys()].sort((a, b) => a - b).flatMap((size) => this.headOf(log, size) ?? []);
  }
}

interface Volatile {
  readonly head: StoredHead;
  readonly undo: () => void;
}

function takeBack(log: StoredLog, group: AppendGroup): void {
  log.heads.delete(group.newHead.size);
  for (const { logIndex } of group.entries) log.entries.delete(logIndex);
  for (const { anchorId } of group.batches) log.batches.delete(anchorId);
  for (const { level, index } of group.logNodes) log.nodes.delete(`${level}/${index}`);
}

function violatesUnique(log: StoredLog, group: AppendGroup): boolean {
  const anchorIds = new Set([...log.entries.values()].map(({ anchorId }) => anchorId));
  return (
    group.entries.some(
      ({ logIndex, anchorId }) =>
        log.entries.has(logIndex) || (anchorId !== undefined && anchorIds.has(anchorId)),
    ) ||
    group.batches.some(({ anchorId }) => log.batches.has(anchorId)) ||
    group.logNodes.some(({ level, index }) => log.nodes.has(`${level}/${index}`))
  );
}

function checkContiguous({ oldHead, newHead, entries }: AppendGroup): void {
  const contiguous =
    entries.length > 0 &&
    entries.every((entry, i) => entry.logIndex === oldHead.size + i) &&
    newHead.size === oldHead.size + entries.length &&
    newHead.prevSize === oldHead.size;
  if (!contiguous) throw new StorageError('INTERNAL', 'the entries do not lead from head to head');
}

function copyOf({ anchorId, leaves, nodes }: StoredBatch): StoredBatch {
  return { anchorId, leaves: leaves.slice(), nodes: nodes.slice() };
}
