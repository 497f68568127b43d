import {
  type Cluster,
  type Entry,
  type EntryOfCluster,
  type Head,
  StorageError,
} from '../../src/notary/storage.ts';
import { checkTimeMs } from '../../src/postgres/columns.ts';
import { toCluster, toEntry, toHead, toKey } from '../../src/postgres/rows.ts';
import { MemoryStorage } from '../notary/memory-storage.ts';

const orNull = <T>(value: T | undefined): T | null => value ?? null;

const cluster = (stored: Cluster): Cluster =>
  toCluster({
    cluster_id: stored.clusterId,
    display_name: stored.displayName,
    origin: stored.origin,
    state: stored.state,
    state_reason: stored.stateReason,
    state_version: stored.stateVersion,
    confirmed_size: orNull(stored.confirmedSize),
    request_id: orNull(stored.requestId),
    predecessor_id: orNull(stored.predecessorId),
    successor_id: orNull(stored.successorId),
    frozen_reason: orNull(stored.frozenReason),
    created_at_ms: stored.createdAtMs,
  });

const head = (stored: Head): Head =>
  toHead({
    size: stored.size,
    root: stored.root,
    prev_size: orNull(stored.prevSize),
    prev_root: orNull(stored.prevRoot),
    mac: stored.mac,
    epoch: stored.epoch,
  });

const entry = (stored: Entry): Entry =>
  toEntry({
    cluster_id: '',
    log_index: stored.logIndex,
    anchor_id: orNull(stored.anchorId),
    request_id: orNull(stored.requestId),
    leaf_count: stored.leafCount,
    root: orNull(stored.root),
    record: stored.record,
    record_hash: stored.recordHash,
    created_at_ms: stored.createdAtMs,
  });

const ifThere = <T>(stored: T | undefined, read: (stored: T) => T): T | undefined =>
  stored === undefined ? undefined : read(stored);

/** Rows in memory that are read as rows of Postgres are. */
export class StoredRows extends MemoryStorage {
  override async readCluster(...given: Parameters<MemoryStorage['readCluster']>) {
    return ifThere(await super.readCluster(...given), cluster);
  }

  override async listClusters(...given: Parameters<MemoryStorage['listClusters']>) {
    return (await super.listClusters(...given)).map(cluster);
  }

  override async readKeys(...given: Parameters<MemoryStorage['readKeys']>) {
    return (await super.readKeys(...given)).map((key) =>
      toKey({
        ...key,
        seed_id: key.seedId,
        first_size: key.firstSize,
        last_size: orNull(key.lastSize),
      }),
    );
  }

  override async readLog(...given: Parameters<MemoryStorage['readLog']>) {
    return ifThere(await super.readLog(...given), (log) => ({
      ...log,
      cluster: cluster(log.cluster),
      head: head(log.head),
      lastCreatedAtMs: ifThere(log.lastCreatedAtMs, checkTimeMs),
    }));
  }

  override async readHead(...given: Parameters<MemoryStorage['readHead']>) {
    return ifThere(await super.readHead(...given), head);
  }

  override async readHeadAfter(...given: Parameters<MemoryStorage['readHeadAfter']>) {
    return ifThere(await super.readHeadAfter(...given), head);
  }

  override async listHeads(...given: Parameters<MemoryStorage['listHeads']>) {
    return (await super.listHeads(...given)).map(head);
  }

  override async findEntry(...given: Parameters<MemoryStorage['findEntry']>) {
    return ifThere(
      await super.findEntry(...given),
      (found): EntryOfCluster => ({ ...found, ...entry(found) }),
    );
  }

  override async findEntries(...given: Parameters<MemoryStorage['findEntries']>) {
    return (await super.findEntries(...given)).map(entry);
  }

  override async findEntriesByRequestId(...given: Parameters<MemoryStorage['findEntriesByRequestId']>) {
    return (await super.findEntriesByRequestId(...given)).map(entry);
  }

  override async listEntries(...given: Parameters<MemoryStorage['listEntries']>) {
    return (await super.listEntries(...given)).map(entry);
  }

  /** As the SQL adapter demands: so many hashes, so many bytes. */
  override async readLogTiles(...given: Parameters<MemoryStorage['readLogTiles']>) {
    const [, ranges] = given;
    const tiles = await super.readLogTiles(...given);
    if (ranges.some(({ count }, i) => tiles[i]?.length !== count * 32)) {
      throw new StorageError('CORRUPT', 'hashes of other than 32 bytes');
    }
    return tiles;
  }
}
