import { describe, expect, test } from '@jest/globals';
import {
  type ClusterRow,
  type EntryRow,
  type HeadRow,
  toCluster,
  toEntry,
  toHead,
  toKey,
} from '../../src/postgres/rows.ts';

const HASH = new Uint8Array(32);
const CLUSTER: ClusterRow = {
  cluster_id: '6f9619ff-8b86-4011-b42d-00c04fc964ff',
  display_name: 'a cluster',
  origin: 'notary.example/logs/6f9619ff-8b86-4011-b42d-00c04fc964ff',
  state: 'active',
  state_reason: '',
  state_version: 1,
  confirmed_size: null,
  request_id: null,
  predecessor_id: null,
  successor_id: null,
  frozen_reason: null,
  created_at_ms: 1_700_000_000_000,
};
const HEAD: HeadRow = { size: 5, root: HASH, prev_size: 2, prev_root: HASH, mac: HASH, epoch: 1 };
const ENTRY: EntryRow = {
  cluster_id: CLUSTER.cluster_id,
  log_index: 4,
  anchor_id: '0195c3a0-1c00-7000-8000-000000000000',
  request_id: null,
  leaf_count: 3,
  root: HASH,
  record: new Uint8Array(200),
  record_hash: HASH,
  created_at_ms: 1_700_000_000_000,
};
const KEY = { epoch: 1, type: 1, vkey: 'v', seed_id: 's', first_size: 0, last_size: null };
const of = <T>(row: T, column: keyof T, value: unknown): T => ({ ...row, [column]: value });

// Seen red without src/postgres/columns.ts: the constraints of the tables were believed, which their owner can drop.
describe('a row that the constraints of its table would refuse is corrupt', () => {
  test.each<[string, () => unknown]>([
    ['a state that is none', () => toCluster(of(CLUSTER, 'state', 'paused'))],
    ['an origin with a space', () => toCluster(of(CLUSTER, 'origin', 'a b'))],
    ['an origin of NULL', () => toCluster(of(CLUSTER, 'origin', null))],
    ['a time that no record can hold', () => toCluster(of(CLUSTER, 'created_at_ms', 8_640_000_000_000_000))],
    ['a head of a negative size', () => toHead(of(HEAD, 'size', -1))],
    ['a head of a size that no number holds', () => toHead(of(HEAD, 'size', 2 ** 53))],
    ['a root of 31 bytes', () => toHead(of(HEAD, 'root', new Uint8Array(31)))],
    ['a mac of NULL', () => toHead(of(HEAD, 'mac', null))],
    ['epoch 0', () => toHead(of(HEAD, 'epoch', 0))],
    ['a head before it that is gone', () => toHead(of(HEAD, 'prev_root', null))],
    ['a negative leaf count', () => toEntry(of(ENTRY, 'leaf_count', -1))],
    ['more leaves than any anchor has', () => toEntry(of(ENTRY, 'leaf_count', 4_194_305))],
    ['an empty record', () => toEntry(of(ENTRY, 'record', new Uint8Array()))],
    ['a record hash of 33 bytes', () => toEntry(of(ENTRY, 'record_hash', new Uint8Array(33)))],
    ['a key of epoch 0', () => toKey(of(KEY, 'epoch', 0))],
  ])('%s', (_name, read) => {
    expect(read).toThrow(expect.objectContaining({ name: 'StorageError', code: 'CORRUPT' }));
  });

  test('and the row as it was is read', () => {
    expect(toCluster(CLUSTER)).toMatchObject({ state: 'active', origin: CLUSTER.origin });
    expect(toHead(HEAD)).toMatchObject({ size: 5, prevSize: 2 });
    expect(toEntry(ENTRY)).toMatchObject({ logIndex: 4, leafCount: 3 });
    expect(toKey(KEY)).toMatchObject({ epoch: 1, lastSize: undefined });
  });
});
