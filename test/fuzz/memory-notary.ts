// The whole domain on rows in memory: the real notary, the real keys, and a database that can be rewritten at will.

import { fastHasher } from '../../src/merkle/fast.ts';
import { createNotary } from '../../src/notary/create-notary.ts';
import type { Logger } from '../../src/notary/logger.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import type { Submission } from '../../src/notary/service.ts';
import { MemoryDatabase } from '../notary/memory-database.ts';
import { StoredRows } from './stored-rows.ts';

export const SEED = new Uint8Array(32).fill(7);
export const SIGNING = createSeedSigning(SEED);
const SILENT: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

export interface MemoryNotary extends ReturnType<typeof createNotary> {
  readonly database: MemoryDatabase;
  readonly storage: StoredRows;
}

export function openMemoryNotary(database = new MemoryDatabase()): MemoryNotary {
  const storage = new StoredRows(database);
  const domain = createNotary({
    storage,
    signing: SIGNING,
    hasher: fastHasher,
    logger: SILENT,
    originPrefix: 'notary.example/logs',
    now: () => Date.UTC(2030, 0, 1),
    outcomePatienceMs: 500,
  });
  return { ...domain, database, storage };
}

export function submission(clusterId: string, packedLeaves: Uint8Array, requestId?: string): Submission {
  const { signal } = new AbortController();
  return {
    clusterId,
    packedLeaves,
    etcdRevision: 0n,
    requestId,
    knownCheckpoint: '',
    submitter: undefined,
    signal,
  };
}

export async function createCluster({ registry }: MemoryNotary): Promise<string> {
  const request = { clusterId: undefined, displayName: '', requestId: undefined, predecessorId: undefined };
  return (await registry.createCluster(request)).clusterId;
}

/** Leaves that differ from all others of the same name. */
export function someLeaves(count: number, name: number): Uint8Array {
  const packed = new Uint8Array(count * 32);
  const view = new DataView(packed.buffer);
  for (let i = 0; i < count; i++) {
    view.setUint32(i * 32, name);
    view.setUint32(i * 32 + 4, i);
  }
  return packed;
}

export function copyOf(database: MemoryDatabase): MemoryDatabase {
  const copy = new MemoryDatabase();
  for (const [clusterId, log] of database.logs) {
    copy.logs.set(clusterId, {
      cluster: { ...log.cluster },
      heads: new Map(log.heads),
      entries: new Map(log.entries),
      batches: new Map(log.batches),
      nodes: new Map(log.nodes),
      keys: [...log.keys],
    });
  }
  return copy;
}
