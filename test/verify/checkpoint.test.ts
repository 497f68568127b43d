import { createPublicKey, verify } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { COSIGNATURE_V1, formatVkey, keyId, parseVkey } from '../../src/note/index.ts';
import { verifyCheckpoint, verifyCheckpointConsistency } from '../../src/verify/index.ts';
import { naiveConsistencyPath, naiveRoot } from './naive-tree.ts';
import { expectRefusal, leavesOf, TestLog } from './test-log.ts';

const CLUSTER = '7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70';
const log = new TestLog(CLUSTER, 1);
for (let size = 1; size <= 12; size++) log.append(leavesOf(size));
const policy = { logKeys: [log.vkey] };
const at = (size: number) => verifyCheckpoint(log.checkpoint(size), policy);
const pathBetween = (first: number, second: number) =>
  naiveConsistencyPath(first, log.entries.slice(0, second));

describe('verifying a checkpoint', () => {
  test('gives what was signed, the note verbatim, and who signed', () => {
    expect(at(5)).toEqual({
      origin: log.origin,
      size: 5,
      root: naiveRoot(log.entries.slice(0, 5)),
      checkpoint: log.checkpoint(5),
      signers: [log.vkey],
    });
    expect(at(0).size).toBe(0);
  });

  test('keys may be given parsed, and the verification may be another implementation', () => {
    let calls = 0;
    const verified = verifyCheckpoint(
      log.checkpoint(5),
      { logKeys: [parseVkey(log.vkey)] },
      {
        verifyEd25519: (signature, message, publicKey) => {
          calls++;
          const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey]);
          return verify(null, message, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
        },
      },
    );
    expect(verified.size).toBe(5);
    expect(calls).toBe(1);
  });

  test('an unpinned origin, an unpinned key, a bad signature and a malformed note are told apart', () => {
    const elsewhere = new TestLog(CLUSTER, 1, 'elsewhere.example');
    expectRefusal(() => verifyCheckpoint(elsewhere.checkpoint(0), policy), 'ORIGIN_MISMATCH');
    const impostor = new TestLog(CLUSTER, 2);
    expectRefusal(() => verifyCheckpoint(impostor.checkpoint(0), policy), 'UNKNOWN_KEY');
    const forged = log.checkpoint(5).replace('\n5\n', '\n6\n');
    expectRefusal(() => verifyCheckpoint(forged, policy), 'BAD_SIGNATURE');
    expectRefusal(() => verifyCheckpoint('', policy), 'BAD_CHECKPOINT');
    expectRefusal(() => verifyCheckpoint(log.checkpoint(5).slice(0, -1), policy), 'BAD_CHECKPOINT');
  });

  test('a key is not trusted under a key ID that is not its own, and no key that cannot be verified is taken', () => {
    const key = parseVkey(log.vkey);
    expectRefusal(
      () => verifyCheckpoint(log.checkpoint(5), { logKeys: [{ ...key, keyId: new Uint8Array(4) }] }),
      'BAD_POLICY',
    );
    const cosigner = { ...key, type: COSIGNATURE_V1, keyId: keyId(key.name, COSIGNATURE_V1, key.publicKey) };
    expectRefusal(
      () => verifyCheckpoint(log.checkpoint(5), { logKeys: [log.vkey, formatVkey(cosigner)] }),
      'BAD_POLICY',
    );
  });

  test('an empty log has one root', () => {
    expectRefusal(() => verifyCheckpoint(log.checkpoint(0, new Uint8Array(32)), policy), 'BAD_CHECKPOINT');
  });

  test('signed extension lines are kept', () => {
    const text = `${log.checkpoint(5).split('\n\n')[0]}\nextension\n`;
    expect(verifyCheckpoint(log.sign(text), policy).extensions).toEqual(['extension']);
  });
});

describe('verifying that a log only grew', () => {
  test('every pair of its checkpoints is consistent', () => {
    for (let second = 0; second <= 12; second++) {
      for (let first = 0; first <= second; first++) {
        verifyCheckpointConsistency(at(first), at(second), pathBetween(first, second));
      }
    }
    expect(at(12).size).toBe(12);
  });

  // Seen red when equal sizes were accepted without comparing the roots.
  test('a rewritten log, a second root for one size, a shorter log and another log are refused', () => {
    const rewritten = new TestLog(CLUSTER, 1);
    for (let size = 1; size <= 12; size++)
      rewritten.append(leavesOf(size), { createdAtMs: size === 3 ? 0 : size });
    const forged = verifyCheckpoint(rewritten.checkpoint(), policy);
    const path = naiveConsistencyPath(5, rewritten.entries);
    expectRefusal(() => verifyCheckpointConsistency(at(5), forged, path), 'CONSISTENCY_PATH');
    expectRefusal(() => verifyCheckpointConsistency(at(5), forged, pathBetween(5, 12)), 'CONSISTENCY_PATH');
    expectRefusal(() => verifyCheckpointConsistency(at(12), forged, []), 'CONSISTENCY_PATH');
    expectRefusal(() => verifyCheckpointConsistency(at(12), at(5), pathBetween(5, 12)), 'SIZE_SHRANK');
    const other = new TestLog(CLUSTER, 1, 'elsewhere.example');
    const foreign = verifyCheckpoint(other.checkpoint(), { logKeys: [other.vkey] });
    expectRefusal(() => verifyCheckpointConsistency(foreign, at(5), []), 'ORIGIN_MISMATCH');
  });

  test('every single-bit damage of a path, and every path too many or too few, is refused', () => {
    const path = pathBetween(6, 11);
    expect(path.length).toBeGreaterThan(1);
    fc.assert(
      fc.property(fc.nat({ max: path.length - 1 }), fc.nat({ max: 255 }), (position, bit) => {
        const hash = Uint8Array.from(path[position]!);
        hash[bit >> 3]! ^= 1 << (bit & 7);
        expectRefusal(
          () => verifyCheckpointConsistency(at(6), at(11), path.with(position, hash)),
          'CONSISTENCY_PATH',
        );
      }),
      { numRuns: 50 },
    );
    for (const wrong of [
      [],
      path.slice(1),
      path.slice(0, -1),
      [...path, path[0]!],
      Array(3),
      [new Uint8Array(31)],
    ]) {
      expectRefusal(() => verifyCheckpointConsistency(at(6), at(11), wrong), 'CONSISTENCY_PATH');
    }
    expectRefusal(() => verifyCheckpointConsistency(at(0), at(11), path), 'CONSISTENCY_PATH');
    expectRefusal(() => verifyCheckpointConsistency(at(11), at(11), path), 'CONSISTENCY_PATH');
  });
});
