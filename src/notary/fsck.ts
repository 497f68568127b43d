import {
  CompactRange,
  EMPTY_ROOT,
  equalHashes,
  HASH_SIZE,
  hashBatch,
  TILE_HEIGHT,
  type TreeHasher,
} from '../merkle/index.ts';
import { type ParsedRecord, parseRecord, RecordError } from '../record/index.ts';
import { NotaryError } from './error.ts';
import { LogKeys } from './log-keys.ts';
import type { Signing } from './signing.ts';
import {
  type BatchRange,
  type Cluster,
  type Entry,
  type Head,
  type LogNode,
  type Storage,
  StorageError,
} from './storage.ts';
import { differingColumn } from './stored-entry.ts';

/** The first thing that is wrong, and where: for example `anchor 0190… leaf tree`, `head of size 12`. */
export interface Finding {
  readonly clusterId: string;
  readonly where: string;
  readonly what: string;
}

export interface FsckReport {
  readonly clusters: number;
  readonly entries: number;
  readonly leaves: number;
  /** undefined where everything is right. */
  readonly finding: Finding | undefined;
}

export interface FsckOptions {
  readonly storage: Storage;
  readonly signing: Signing;
  readonly hasher: TreeHasher;
  /** undefined for all clusters. */
  readonly clusterId: string | undefined;
}

const PAGE_ENTRIES = 500;
const PAGE_HEADS = 1000;
const PAGE_CLUSTERS = 100;
const CHUNK_LEAVES = 32_768;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

class Wrong extends Error {
  readonly where: string;
  constructor(where: string, what: string) {
    super(what);
    this.where = where;
  }
}

/**
 * Reads whole logs and recomputes everything from the leaves up: batch roots, records, record hashes, log nodes, the root
 * and the mac of every head, the order of created_at. Trusts the seed, and nothing that is stored.
 *
 * It cannot see rows that are gone from the tail together with their heads: whoever holds a newer checkpoint can.
 */
export async function fsck(options: FsckOptions): Promise<FsckReport> {
  const { storage, clusterId } = options;
  const count = { clusters: 0, entries: 0, leaves: 0 };
  try {
    for await (const cluster of clustersOf(storage, clusterId)) {
      try {
        await new ClusterCheck(options, cluster, count).run();
      } catch (error) {
        return { ...count, finding: findingOf(cluster.clusterId, error) };
      }
      count.clusters++;
    }
  } catch (error) {
    return { ...count, finding: findingOf(clusterId ?? 'one of the clusters', error) };
  }
  return { ...count, finding: undefined };
}

/** @throws NotaryError CLUSTER_NOT_FOUND */
async function* clustersOf(storage: Storage, clusterId: string | undefined): AsyncIterable<Cluster> {
  if (clusterId !== undefined) {
    const cluster = await storage.readCluster(clusterId);
    if (cluster === undefined) throw new NotaryError('CLUSTER_NOT_FOUND', `there is no cluster ${clusterId}`);
    yield cluster;
    return;
  }
  for (let after: string | undefined; ; ) {
    const page = await storage.listClusters(after, PAGE_CLUSTERS);
    yield* page;
    after = page.at(-1)?.clusterId;
    if (page.length < PAGE_CLUSTERS) return;
  }
}

/** What is wrong with the data is a finding; a database that is away or a defect is not. */
function findingOf(clusterId: string, error: unknown): Finding {
  if (error instanceof Wrong) return { clusterId, where: error.where, what: error.message };
  if (error instanceof NotaryError && error.code === 'SIGNING_KEY_MISMATCH')
    return { clusterId, where: 'log keys', what: error.message };
  if (error instanceof StorageError && error.code === 'CORRUPT')
    return { clusterId, where: 'stored rows', what: error.message };
  throw error;
}

class ClusterCheck {
  readonly #options: FsckOptions;
  readonly #cluster: Cluster;
  readonly #count: { entries: number; leaves: number };
  readonly #range: CompactRange;
  #newNodes: LogNode[] = [];
  #lastCreatedAtMs = 0;

  constructor(options: FsckOptions, cluster: Cluster, count: { entries: number; leaves: number }) {
    this.#options = options;
    this.#cluster = cluster;
    this.#count = count;
    this.#range = CompactRange.empty(options.hasher);
  }

  async run(): Promise<void> {
    const { storage, signing } = this.#options;
    const { clusterId, origin } = this.#cluster;
    const keys = await LogKeys.open(origin, await storage.readKeys(clusterId), signing);
    let last: Head | undefined;
    do {
      for await (const head of this.#heads(last?.size)) {
        this.#checkPlace(head, last);
        if (!keys.hasGoodMac(head)) {
          throw new Wrong(
            `head of size ${head.size}`,
            'its mac is wrong: it was not written by a notary with this seed, or was changed',
          );
        }
        await this.#appendEntries(head.size);
        if (!equalHashes(this.#range.root(), head.root)) {
          throw new Wrong(`head of size ${head.size}`, 'its root is not that of the records before it');
        }
        last = head;
      }
      if (last === undefined) throw new Wrong('heads', 'there is not even a head of size 0');
    } while (await this.#hasGrown(last));
  }

  /** Whether a running server has appended since the last head was read. @throws Wrong where entries have no head */
  async #hasGrown(last: Head): Promise<boolean> {
    const { storage } = this.#options;
    const [beyond] = await storage.listEntries(this.#cluster.clusterId, last.size, 1);
    if (beyond === undefined) return false;
    if ((await storage.readHeadAfter(this.#cluster.clusterId, last.size)) !== undefined) return true;
    throw new Wrong(
      `entry ${beyond.logIndex}`,
      `it is past the last head, of size ${last.size}: a head was deleted, or an entry added`,
    );
  }

  async *#heads(afterSize: number | undefined): AsyncIterable<Head> {
    for (let after = afterSize; ; ) {
      const page = await this.#options.storage.listHeads(this.#cluster.clusterId, after, PAGE_HEADS);
      yield* page;
      after = page.at(-1)?.size;
      if (page.length < PAGE_HEADS) return;
    }
  }

  #checkPlace(head: Head, previous: Head | undefined): void {
    const where = `head of size ${head.size}`;
    if (previous === undefined) {
      if (head.size !== 0) throw new Wrong(where, 'it is the first head, but the first must have size 0');
      if (head.prevSize !== undefined) throw new Wrong(where, 'the first head cannot follow another');
      if (!equalHashes(head.root, EMPTY_ROOT)) throw new Wrong(where, 'its root is not that of an empty log');
    } else if (head.prevSize !== previous.size) {
      throw new Wrong(
        where,
        `it says that it follows size ${head.prevSize}, but the head before it has size ${previous.size}`,
      );
    }
  }

  async #appendEntries(size: number): Promise<void> {
    const { storage } = this.#options;
    while (this.#range.size < size) {
      const from = this.#range.size;
      const page = await storage.listEntries(
        this.#cluster.clusterId,
        from,
        Math.min(PAGE_ENTRIES, size - from),
      );
      page.forEach((entry, i) => {
        if (entry.logIndex !== from + i) throw new Wrong(`entry ${from + i}`, 'it is missing');
      });
      if (page.length === 0) throw new Wrong(`entry ${from}`, 'it is missing');
      for (const entry of page) this.#checkRecord(entry);
      await this.#checkBatches(page);
      await this.#checkNewNodes();
      this.#count.entries += page.length;
    }
  }

  #checkRecord(entry: Entry): void {
    const { hasher } = this.#options;
    const where = `entry ${entry.logIndex}${entry.anchorId === undefined ? '' : ` (anchor ${entry.anchorId})`}`;
    if (!equalHashes(hasher.leafHash(entry.record), entry.recordHash)) {
      throw new Wrong(where, 'its record does not hash to its record_hash');
    }
    const wrong = differenceOf(entry, parse(where, entry.record), this.#cluster);
    if (wrong !== undefined) throw new Wrong(where, wrong);
    if (entry.createdAtMs < this.#lastCreatedAtMs)
      throw new Wrong(where, 'its created_at is before that of the entry before it');
    this.#lastCreatedAtMs = entry.createdAtMs;
    this.#range.append(entry.recordHash, (level, index, hash) => {
      if (level > 0 && level % TILE_HEIGHT === 0)
        this.#newNodes.push({ level: level / TILE_HEIGHT, index, hash });
    });
  }

  async #checkNewNodes(): Promise<void> {
    const nodes = this.#newNodes;
    this.#newNodes = [];
    if (nodes.length === 0) return;
    const ranges = nodes.map(({ level, index }) => ({ level, first: index, count: 1 }));
    const stored = await this.#options.storage.readLogTiles(this.#cluster.clusterId, ranges);
    nodes.forEach(({ level, index, hash }, i) => {
      if (!equalHashes(stored[i] ?? new Uint8Array(), hash)) {
        throw new Wrong(`log node (${level}, ${index})`, `it is not the hash of its ${256 ** level} records`);
      }
    });
  }

  async #checkBatches(entries: readonly Entry[]): Promise<void> {
    let small: Entry[] = [];
    let bytes = 0;
    for (const entry of entries) {
      if (entry.anchorId === undefined) continue;
      const size = entry.leafCount * HASH_SIZE;
      if (size > MAX_BATCH_BYTES) {
        this.#checkBatch(entry, await this.#readLeaves(entry), await this.#readNodes(entry));
        continue;
      }
      if (bytes + size > MAX_BATCH_BYTES) {
        await this.#checkSmall(small);
        small = [];
        bytes = 0;
      }
      small.push(entry);
      bytes += size;
    }
    await this.#checkSmall(small);
  }

  async #checkSmall(entries: readonly Entry[]): Promise<void> {
    const { storage } = this.#options;
    if (entries.length === 0) return;
    const leaves = entries.map((entry) => rangeOf(entry, 'leaves', 0, entry.leafCount));
    const nodes = entries.map((entry) => rangeOf(entry, 'nodes', 0, nodeCount(entry)));
    const stored = await storage.readBatchRanges(this.#cluster.clusterId, [...leaves, ...nodes]);
    entries.forEach((entry, i) => {
      this.#checkBatch(entry, stored[i] ?? new Uint8Array(), stored[entries.length + i] ?? new Uint8Array());
    });
  }

  #checkBatch(entry: Entry, leaves: Uint8Array, nodes: Uint8Array): void {
    const where = `anchor ${entry.anchorId} (entry ${entry.logIndex})`;
    const tree = hashBatch(this.#options.hasher, leaves);
    if (entry.root === undefined || !equalHashes(tree.root, entry.root))
      throw new Wrong(where, 'its stored leaves do not hash to its root');
    if (Buffer.compare(tree.nodes, nodes) !== 0)
      throw new Wrong(where, 'its stored subtree hashes are not those of its leaves');
    this.#count.leaves += entry.leafCount;
  }

  async #readLeaves(entry: Entry): Promise<Uint8Array> {
    const leaves = new Uint8Array(entry.leafCount * HASH_SIZE);
    for (let first = 0; first < entry.leafCount; first += CHUNK_LEAVES) {
      const range = rangeOf(entry, 'leaves', first, Math.min(CHUNK_LEAVES, entry.leafCount - first));
      const [chunk = new Uint8Array()] = await this.#options.storage.readBatchRanges(
        this.#cluster.clusterId,
        [range],
      );
      leaves.set(chunk, first * HASH_SIZE);
    }
    return leaves;
  }

  async #readNodes(entry: Entry): Promise<Uint8Array> {
    const range = rangeOf(entry, 'nodes', 0, nodeCount(entry));
    const [nodes = new Uint8Array()] = await this.#options.storage.readBatchRanges(this.#cluster.clusterId, [
      range,
    ]);
    return nodes;
  }
}

function rangeOf(
  { anchorId = '' }: Entry,
  column: BatchRange['column'],
  first: number,
  count: number,
): BatchRange {
  return { anchorId, column, first, count };
}

/** Hashes in `BatchTree.nodes`: complete subtrees of 256, 256^2, ... leaves. */
function nodeCount({ leafCount }: Entry): number {
  let count = 0;
  for (let row = Math.floor(leafCount / 256); row > 0; row = Math.floor(row / 256)) count += row;
  return count;
}

function parse(where: string, record: Uint8Array): ParsedRecord {
  try {
    return parseRecord(record);
  } catch (error) {
    if (error instanceof RecordError) throw new Wrong(where, `its record is malformed: ${error.message}`);
    throw error;
  }
}

/** Columns repeat what the record says; only the record is under the root. */
function differenceOf(entry: Entry, record: ParsedRecord, cluster: Cluster): string | undefined {
  if (record.kind === 'unknown') {
    return entry.anchorId === undefined
      ? undefined
      : `its record has the unknown type ${record.type}, but it has an anchor_id`;
  }
  if (record.clusterId !== cluster.clusterId) return `its record is of cluster ${record.clusterId}`;
  if (record.createdAtMs !== entry.createdAtMs) return 'its column created_at differs from its record';
  if (record.kind === 'succession') {
    if (entry.anchorId !== undefined || entry.logIndex !== 0)
      return 'a succession record must be the first entry';
    return record.predecessorId === cluster.predecessorId
      ? undefined
      : 'its record names another predecessor than the cluster';
  }
  const column = differingColumn(entry, record);
  return column === undefined ? undefined : `its column ${column} differs from its record`;
}
