import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { hashBatch, portableHasher } from '../../src/merkle/index.ts';
import {
  assembleCheckpoint,
  deriveKey,
  ed25519Vkey,
  formatCheckpointText,
  formatTlogProof,
  formatVkey,
  headMac,
  headMacMessage,
  parseTlogProof,
  publicKeyEd25519,
  seedId,
  signEd25519,
  verifyHeadMac,
} from '../../src/note/index.ts';
import { formatAnchorRecord, formatSuccessionRecord, parseRecord } from '../../src/record/index.ts';
import { verifyCheckpoint, verifyReceipt } from '../../src/verify/index.ts';
import { naiveRoot } from './naive-tree.ts';

// The files were computed by test/golden/make_golden.py and checked by test/golden/check, neither of which is our code.
const bytes = (name: string) => new Uint8Array(readFileSync(new URL(`../golden/${name}`, import.meta.url)));
const text = (name: string) => readFileSync(new URL(`../golden/${name}`, import.meta.url), 'utf8');
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');
const unhex = (value: string) => new Uint8Array(Buffer.from(value, 'hex'));

const values = JSON.parse(text('values.json'));
const seed = unhex(values.masterSeed);
const leaves: Uint8Array[] = values.leaves.map(unhex);
const log: Uint8Array[] = values.log.map((entry: string) => new Uint8Array(Buffer.from(entry, 'base64')));
const logSeed = deriveKey(seed, 'log-ed25519', values.origin, 1);
const key = ed25519Vkey(values.origin, publicKeyEd25519(logSeed));

describe('golden keys', () => {
  test('derived keys and the seed id are the committed ones', () => {
    expect(hex(logSeed)).toBe(values.logSeedEpoch1);
    expect(hex(deriveKey(seed, 'log-ed25519', values.origin, 2))).toBe(values.logSeedEpoch2);
    expect(hex(deriveKey(seed, 'head-mac', values.origin, 1))).toBe(values.headMacKeyEpoch1);
    expect(seedId(seed)).toBe(values.seedId);
  });

  test('the verifier key of the derived seed is the committed one', () => {
    expect(formatVkey(key)).toBe(text('vkey.txt'));
  });

  test('the macs of a genesis head and of a later head are the committed ones', () => {
    const macKey = deriveKey(seed, 'head-mac', values.origin, 1);
    const head = (size: number) => ({ size, root: naiveRoot(log.slice(0, size)) });
    const genesis = headMacMessage({ origin: values.origin, ...head(0) });
    const later = headMacMessage({ origin: values.origin, ...head(5), prev: head(2) });
    expect(Buffer.from(genesis).toString()).toBe(values.genesisHead.message);
    expect(hex(headMac(macKey, genesis))).toBe(values.genesisHead.mac);
    expect(Buffer.from(later).toString()).toBe(values.headFrom2To5.message);
    expect(hex(headMac(macKey, later))).toBe(values.headFrom2To5.mac);
    expect(verifyHeadMac(macKey, later, unhex(values.headFrom2To5.mac))).toBe(true);
  });
});

describe('golden records', () => {
  test.each(['anchor-record.json', 'anchor-record-minimal.json'])(
    '%s is read and written again byte for byte',
    (name) => {
      const record = parseRecord(bytes(name));
      if (record.kind !== 'anchor') throw new Error(record.kind);
      expect(hex(formatAnchorRecord(record))).toBe(hex(bytes(name)));
    },
  );

  test('the full anchor record has the values that its generator put in', () => {
    expect(parseRecord(bytes('anchor-record.json'))).toEqual({
      kind: 'anchor',
      anchorId: '0195c3a0-1c00-7000-8000-000000000003',
      clusterId: values.clusterId,
      leafCount: 7,
      root: hashBatch(portableHasher, new Uint8Array(Buffer.concat(leaves))).root,
      etcdRevision: 9_223_372_036_854_775_807n,
      requestId: 'c0ffee00-0000-4000-8000-00000000c0de',
      submitter: 'gateway "één"\n\t\x01\x7f\\ €  😀 </x>',
      createdAtMs: Date.UTC(2025, 2, 23, 12, 0, 3, 300),
      unknownFields: new Map(),
    });
  });

  test('the succession record is read and written again byte for byte', () => {
    const record = parseRecord(bytes('succession-record.json'));
    if (record.kind !== 'succession') throw new Error(record.kind);
    expect(record.predecessorSize).toBe(Number.MAX_SAFE_INTEGER);
    expect(record.reason).toBe('restored from a backup: "3 hours" lost');
    expect(hex(formatSuccessionRecord(record))).toBe(hex(bytes('succession-record.json')));
  });
});

describe('golden checkpoints and receipt', () => {
  test.each([0, 5])('the checkpoint of size %d is signed byte for byte, and verifies', (size) => {
    const checkpoint = formatCheckpointText({
      origin: values.origin,
      size,
      root: naiveRoot(log.slice(0, size)),
    });
    const signature = signEd25519(logSeed, new TextEncoder().encode(checkpoint));
    const note = assembleCheckpoint(checkpoint, [{ name: key.name, keyId: key.keyId, signature }]);
    expect(note).toBe(text(`checkpoint-${size}.txt`));
    expect(verifyCheckpoint(note, { logKeys: [text('vkey.txt')] }).size).toBe(size);
  });

  test('the .tlog-proof is read and written again byte for byte, and verifies for its leaf', () => {
    const receipt = parseTlogProof(text('receipt.tlog-proof'));
    expect(formatTlogProof(receipt)).toBe(text('receipt.tlog-proof'));
    const leaf = new Uint8Array(createHash('sha256').update('event 5').digest());
    const verdict = verifyReceipt(receipt, { leaf }, { logKeys: [text('vkey.txt')] });
    expect(verdict).toMatchObject({
      leafIndex: 5,
      leafCount: 7,
      logIndex: 3,
      treeSize: 5,
      clusterId: values.clusterId,
    });
    expect(verdict.signers).toEqual([text('vkey.txt')]);
  });
});
