import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { AppendGroup, Entry, Head, NewCluster, Storage, StoredBatch } from '../../src/notary/storage.ts';

/** Rows with the shapes of a real log and meaningless hashes: storage neither computes nor checks them. */
export function someHash(): Uint8Array {
  return new Uint8Array(randomBytes(32));
}

export function newCluster(fields: Partial<NewCluster['cluster']> = {}): NewCluster {
  const clusterId = fields.clusterId ?? randomUUID();
  return {
    cluster: {
      clusterId,
      displayName: 'a test',
      origin: `example.org/${clusterId}`,
      requestId: undefined,
      predecessorId: undefined,
      createdAtMs: 1_700_000_000_123,
      ...fields,
    },
    genesis: {
      size: 0,
      root: someHash(),
      prevSize: undefined,
      prevRoot: undefined,
      mac: someHash(),
      epoch: 1,
    },
    keys: [{ epoch: 1, type: 1, vkey: 'name+key', seedId: 'seed', firstSize: 0, lastSize: undefined }],
    first: undefined,
  };
}

export interface EntryFields {
  readonly requestId?: string;
  readonly createdAtMs?: number;
  readonly record?: Uint8Array;
  readonly leafCount?: number;
}

/** A UUID of version 7, so that keys arrive in the order of time as they do from the notary. */
export function anchorIdAt(createdAtMs: number): string {
  const random = randomUUID();
  const time = createdAtMs.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7${random.slice(15)}`;
}

export function entryOf(logIndex: number, fields: EntryFields = {}): Entry {
  const createdAtMs = fields.createdAtMs ?? 1_700_000_000_000 + logIndex;
  return {
    logIndex,
    anchorId: anchorIdAt(createdAtMs),
    leafCount: fields.leafCount ?? 1,
    root: someHash(),
    requestId: fields.requestId,
    record: fields.record ?? new Uint8Array(createHash('sha512').update(String(logIndex)).digest()),
    recordHash: someHash(),
    createdAtMs,
  };
}

export function batchOf(entry: Entry): StoredBatch {
  const leaves = new Uint8Array(randomBytes(32 * entry.leafCount));
  const nodes = new Uint8Array(randomBytes(32 * Math.floor(entry.leafCount / 256)));
  return { anchorId: entry.anchorId!, leaves, nodes };
}

/** The next group after a head, of one entry for each of the fields. */
export function groupAfter(
  clusterId: string,
  oldHead: Pick<Head, 'size' | 'root'>,
  fields: readonly EntryFields[] = [{}],
): AppendGroup {
  const entries = fields.map((each, i) => entryOf(oldHead.size + i, each));
  return {
    clusterId,
    oldHead,
    newHead: {
      size: oldHead.size + entries.length,
      root: someHash(),
      prevSize: oldHead.size,
      prevRoot: oldHead.root,
      mac: someHash(),
      epoch: 1,
    },
    entries,
    batches: entries.map(batchOf),
    storedBatches: [],
    logNodes: [],
  };
}

/** Makes a cluster and appends groups of these sizes. */
export async function buildLog(storage: Storage, groupSizes: readonly number[] = []): Promise<BuiltLog> {
  const cluster = newCluster();
  await storage.createCluster(cluster);
  const { clusterId } = cluster.cluster;
  let head: Head = cluster.genesis;
  const groups: AppendGroup[] = [];
  for (const size of groupSizes) {
    const group = groupAfter(clusterId, head, Array<EntryFields>(size).fill({}));
    const outcome = await storage.append(group);
    if (outcome.kind !== 'appended') throw new Error(`not appended: ${outcome.kind}`);
    groups.push(group);
    head = group.newHead;
  }
  return { clusterId, head, groups, entries: groups.flatMap((group) => group.entries) };
}

export interface BuiltLog {
  readonly clusterId: string;
  readonly head: Head;
  readonly groups: readonly AppendGroup[];
  readonly entries: readonly Entry[];
}
