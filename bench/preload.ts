import { randomBytes, randomFillSync, randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { fastHasher } from '../src/merkle/fast.ts';
import { type Attempt, makeAttempt, type UnplacedAnchor } from '../src/notary/attempt.ts';
import { LogEdge } from '../src/notary/log-edge.ts';
import { LogKeys } from '../src/notary/log-keys.ts';
import { createSeedSigning } from '../src/notary/seed-signing.ts';
import type { AppendGroup, Head } from '../src/notary/storage.ts';
import { createPostgresStorage } from '../src/postgres/storage.ts';
import { Copy, RowWriter } from './copy.ts';

export interface Preload {
  /** Of the application role, to read from, and of the owner of the tables. */
  readonly databaseUrl: string;
  readonly ownerUrl: string;
  /** Hex. */
  readonly seed: string;
  /** An empty one. */
  readonly clusterId: string;
  readonly anchors: number;
}

/** Anchors of one commit, as a busy server groups them. */
const GROUP = 8;
const GROUPS_A_CHUNK = 500;
/** The log looks as if it had grown for a month. */
const SPAN_MS = 30 * 86_400_000;

const COLUMNS = {
  heads: ['cluster_id', 'size', 'prev_size', 'epoch', 'root', 'mac'],
  anchors: [
    'cluster_id',
    'log_index',
    'created_at',
    'anchor_id',
    'request_id',
    'leaf_count',
    'root',
    'record_hash',
    'record',
  ],
  anchor_leaves: ['cluster_id', 'anchor_id', 'leaves', 'nodes'],
  log_nodes: ['cluster_id', 'level', 'index', 'hash'],
} as const;
type Table = keyof typeof COLUMNS;
const TABLES = Object.keys(COLUMNS) as Table[];

/**
 * Fills an empty cluster's log with anchors of one leaf each, by COPY. The rows are those that the server itself would have
 * written: made by the functions that make its appends, under its keys.
 */
export async function preload(options: Preload): Promise<void> {
  const { keys, head, clusterId } = await openLog(options);
  const writers = byTable((table) => new RowWriter(COLUMNS[table].length));
  const copies = new Map<Table, Copy>();
  for (const table of TABLES) copies.set(table, await Copy.begin(options.ownerUrl, table, COLUMNS[table]));
  let groups = 0;
  const flush = async () => {
    for (const table of TABLES) await copies.get(table)?.write(writers[table].take());
  };
  for (const { group } of attempts({ clusterId, keys, head, anchors: options.anchors })) {
    writeGroup(writers, group);
    if (++groups % GROUPS_A_CHUNK === 0) await flush();
  }
  await flush();
  // Heads, the first of the tables, last: nobody can see a head without what it covers.
  for (const table of TABLES.toReversed()) await copies.get(table)?.end();
}

async function openLog({ databaseUrl, seed, clusterId }: Preload) {
  const storage = createPostgresStorage({ databaseUrl });
  try {
    const snapshot = await storage.readLog(clusterId);
    if (snapshot?.head.size !== 0) throw new Error(`cluster ${clusterId} is no empty log`);
    const signing = createSeedSigning(Buffer.from(seed, 'hex'));
    const keys = await LogKeys.open(snapshot.cluster.origin, await storage.readKeys(clusterId), signing);
    return { clusterId, head: snapshot.head, keys };
  } finally {
    await storage.close();
  }
}

function* attempts(log: {
  readonly clusterId: string;
  readonly keys: LogKeys;
  readonly head: Head;
  readonly anchors: number;
}): Generator<Attempt> {
  const { clusterId, keys, anchors } = log;
  const edge = LogEdge.load(fastHasher, 0, []);
  const endsAtMs = Date.now();
  let { head } = log;
  let lastCreatedAtMs: number | undefined;
  while (head.size < anchors) {
    const nowMs = Math.floor(endsAtMs - SPAN_MS * (1 - head.size / anchors));
    const count = Math.min(GROUP, anchors - head.size);
    const attempt = makeAttempt({
      clusterId,
      anchors: Array.from({ length: count }, (_, i) => someAnchor(nowMs, i)),
      head,
      edge,
      lastCreatedAtMs,
      nowMs,
      keys,
      hasher: fastHasher,
    });
    edge.apply(attempt.extension);
    head = attempt.group.newHead;
    lastCreatedAtMs = attempt.lastCreatedAtMs;
    yield attempt;
  }
}

const NO_NODES = new Uint8Array(0);

/** @param seq makes the ids of one moment ascend, as those of a server do */
function someAnchor(nowMs: number, seq: number): UnplacedAnchor {
  const leaves = someLeaf();
  const anchorId = uuidv7({ msecs: nowMs, seq });
  return {
    anchorId,
    leafCount: 1,
    root: fastHasher.leafHash(leaves),
    etcdRevision: 0n,
    requestId: randomUUID(),
    submitter: undefined,
    batch: { anchorId, leaves, nodes: NO_NODES },
  };
}

const random = randomBytes(64 * 1024);
let randomAt = random.length;

/** Random bytes are cheap by the many. */
function someLeaf(): Uint8Array {
  if (randomAt === random.length) {
    randomFillSync(random);
    randomAt = 0;
  }
  const leaf = new Uint8Array(random.subarray(randomAt, randomAt + 32));
  randomAt += 32;
  return leaf;
}

function writeGroup(writers: Record<Table, RowWriter>, group: AppendGroup): void {
  const { clusterId, newHead, entries, batches, logNodes } = group;
  writers.heads
    .row()
    .uuid(clusterId)
    .int8(newHead.size)
    .int8(newHead.prevSize ?? 0)
    .int4(newHead.epoch)
    .bytes(newHead.root)
    .bytes(newHead.mac);
  for (const entry of entries) {
    writers.anchors
      .row()
      .uuid(clusterId)
      .int8(entry.logIndex)
      .time(entry.createdAtMs)
      .uuid(entry.anchorId ?? '')
      .uuid(entry.requestId ?? '')
      .int4(entry.leafCount)
      .bytes(entry.root ?? NO_NODES)
      .bytes(entry.recordHash)
      .bytes(entry.record);
  }
  for (const { anchorId, leaves, nodes } of batches) {
    writers.anchor_leaves.row().uuid(clusterId).uuid(anchorId).bytes(leaves).bytes(nodes);
  }
  for (const { level, index, hash } of logNodes) {
    writers.log_nodes.row().uuid(clusterId).int2(level).int8(index).bytes(hash);
  }
}

function byTable<T>(make: (table: Table) => T): Record<Table, T> {
  return Object.fromEntries(TABLES.map((table) => [table, make(table)])) as Record<Table, T>;
}
