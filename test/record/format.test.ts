import { describe, expect, test } from '@jest/globals';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import {
  type AnchorRecord,
  formatAnchorRecord,
  formatSuccessionRecord,
  MAX_RECORD_BYTES,
  parseRecord,
  type SuccessionRecord,
} from '../../src/record/index.ts';
import { anchorRecord, successionRecord } from './arbitrary-record.ts';
import { expectRefusal } from './refusal.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const written = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

const anchor: AnchorRecord = {
  anchorId: '0195c3a0-1c00-7000-8000-000000000001',
  clusterId: '7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70',
  leafCount: 1,
  root: new Uint8Array(32),
  etcdRevision: 0n,
  createdAtMs: 0,
};
const succession: SuccessionRecord = {
  clusterId: anchor.clusterId,
  predecessorId: '11111111-2222-4333-8444-555555555555',
  predecessorOrigin: 'notary.example/old',
  predecessorSize: 0,
  predecessorRoot: new Uint8Array(32),
  reason: '',
  createdAtMs: 0,
};

describe('writing records', () => {
  // Seen red when the submitter was written before the root, and when it was written without escapes.
  test('the text that is built directly is what the general canonicalizer makes of the same fields', () => {
    fc.assert(
      fc.property(anchorRecord, (record) => {
        expect(written(formatAnchorRecord(record))).toBe(
          canonicalize({
            type: 'quartermaster.dev/anchor@v1',
            anchor_id: record.anchorId,
            cluster_id: record.clusterId,
            leaf_count: String(record.leafCount),
            root: hex(record.root),
            etcd_revision: String(record.etcdRevision),
            request_id: record.requestId,
            submitter: record.submitter,
            created_at: new Date(record.createdAtMs).toISOString(),
          }),
        );
      }),
    );
    fc.assert(
      fc.property(successionRecord, (record) => {
        expect(written(formatSuccessionRecord(record))).toBe(
          canonicalize({
            type: 'quartermaster.dev/succession@v1',
            cluster_id: record.clusterId,
            predecessor_id: record.predecessorId,
            predecessor_origin: record.predecessorOrigin,
            predecessor_size: String(record.predecessorSize),
            predecessor_root: hex(record.predecessorRoot),
            reason: record.reason,
            created_at: new Date(record.createdAtMs).toISOString(),
          }),
        );
      }),
    );
  });

  test('what is written is read back', () => {
    fc.assert(
      fc.property(anchorRecord, (record) => {
        expect(parseRecord(formatAnchorRecord(record))).toEqual({
          kind: 'anchor',
          ...record,
          unknownFields: new Map(),
        });
      }),
    );
    fc.assert(
      fc.property(successionRecord, (record) => {
        expect(parseRecord(formatSuccessionRecord(record))).toEqual({
          kind: 'succession',
          ...record,
          unknownFields: new Map(),
        });
      }),
    );
  });

  test('the largest records there can be are within 2,048 bytes', () => {
    const worst = '\u0001'.repeat(256);
    const largest = formatAnchorRecord({
      ...anchor,
      leafCount: 4_194_304,
      etcdRevision: 2n ** 63n - 1n,
      requestId: anchor.clusterId,
      submitter: worst,
    });
    expect(largest.length).toBeLessThanOrEqual(MAX_RECORD_BYTES);
    expect(parseRecord(largest)).toMatchObject({ kind: 'anchor', submitter: worst });
    expect(
      formatSuccessionRecord({
        ...succession,
        predecessorSize: Number.MAX_SAFE_INTEGER,
        predecessorOrigin: '"'.repeat(255),
        reason: '\u0001'.repeat(100),
      }).length,
    ).toBeLessThanOrEqual(MAX_RECORD_BYTES);
    expectRefusal(
      () => formatSuccessionRecord({ ...succession, predecessorOrigin: '"'.repeat(255), reason: worst }),
      'TOO_LARGE',
    );
  });

  test.each<[string, Partial<AnchorRecord>]>([
    ['anchor_id', { anchorId: anchor.anchorId.replace('c', 'C') }],
    ['anchor_id', { anchorId: '","type":"x' }],
    ['cluster_id', { clusterId: anchor.clusterId.replaceAll('-', '') }],
    ['cluster_id', { clusterId: `${anchor.clusterId}\n` }],
    ['leaf_count', { leafCount: 0 }],
    ['leaf_count', { leafCount: 4_194_305 }],
    ['leaf_count', { leafCount: 1.5 }],
    ['root', { root: new Uint8Array(31) }],
    ['etcd_revision', { etcdRevision: -1n }],
    ['etcd_revision', { etcdRevision: 2n ** 63n }],
    ['request_id', { requestId: '' }],
    ['submitter', { submitter: '' }],
    ['submitter', { submitter: 'é'.repeat(129) }],
    ['submitter', { submitter: '\ud800' }],
    ['created_at', { createdAtMs: 0.5 }],
    ['created_at', { createdAtMs: Number.NaN }],
    ['created_at', { createdAtMs: Date.parse('9999-12-31T23:59:59.999Z') + 1 }],
    ['created_at', { createdAtMs: Date.parse('0000-01-01T00:00:00.000Z') - 1 }],
  ])('an anchor record with a bad %s (%j) is not written', (field, bad) => {
    expectRefusal(() => formatAnchorRecord({ ...anchor, ...bad }), 'BAD_FIELD', field);
  });

  test.each<[string, Partial<SuccessionRecord>]>([
    ['predecessor_id', { predecessorId: 'x' }],
    ['predecessor_origin', { predecessorOrigin: 'a b' }],
    ['predecessor_origin', { predecessorOrigin: 'a'.repeat(256) }],
    ['predecessor_size', { predecessorSize: -1 }],
    ['predecessor_size', { predecessorSize: 2 ** 53 }],
    ['predecessor_root', { predecessorRoot: new Uint8Array() }],
    ['reason', { reason: 'a'.repeat(257) }],
    ['reason', { reason: '\udfff' }],
  ])('a succession record with a bad %s (%j) is not written', (field, bad) => {
    expectRefusal(() => formatSuccessionRecord({ ...succession, ...bad }), 'BAD_FIELD', field);
  });
});
