import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { encodeBase64, formatTlogProof, parseTlogProof, type TlogProof } from '../../src/note/index.ts';
import { formatSuccessionRecord } from '../../src/record/index.ts';
import { type Receipt, verifyReceipt } from '../../src/verify/index.ts';
import { naiveInclusionPath, naiveRoot } from './naive-tree.ts';
import { expectRefusal, leavesOf, TestLog } from './test-log.ts';

const CLUSTER = '7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70';
const leaves = leavesOf(7);
const leaf = leaves[5]!;
const log = new TestLog(CLUSTER, 1);
for (let size = 1; size <= 4; size++) log.append(leavesOf(size, `batch ${size}`));
const logIndex = log.append(leaves, { submitter: 'gateway-1', requestId: CLUSTER, etcdRevision: 42n });
log.append(leavesOf(3));
const receipt = log.receipt(logIndex, leaves, 5);
const anchorId = '0195c3a0-1c00-7000-8000-000000000004';
const policy = { logKeys: [log.vkey] };

describe('verifying a receipt', () => {
  test('a good receipt gives the verdict, whichever of anchor id and leaf index is expected', () => {
    const verdict = {
      origin: log.origin,
      clusterId: CLUSTER,
      anchorId,
      leafIndex: 5,
      leafCount: 7,
      logIndex: 4,
      etcdRevision: 42n,
      createdAtMs: 1_700_000_000_004,
      requestId: CLUSTER,
      submitter: 'gateway-1',
      treeSize: 6,
      root: naiveRoot(log.entries),
      signers: [log.vkey],
    };
    expect(verifyReceipt(receipt, { leaf }, policy)).toEqual(verdict);
    expect(verifyReceipt(receipt, { leaf, anchorId, leafIndex: 5 }, policy)).toEqual(verdict);
    expect(verifyReceipt(receipt, { leaf, anchorId: anchorId.toUpperCase() }, policy)).toEqual(verdict);
    expect(verifyReceipt({ ...receipt, leaf }, { leaf }, policy)).toEqual(verdict);
  });

  test('every leaf of every batch of a log verifies, and no other leaf does', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 12 }),
        fc.nat(),
        (sizes, pick) => {
          const log = new TestLog(CLUSTER, 2);
          const batches = sizes.map((size, number) => leavesOf(size, `property ${number}`));
          for (const batch of batches) log.append(batch);
          const logIndex = pick % batches.length;
          const batch = batches[logIndex]!;
          const leafIndex = pick % batch.length;
          const receipt = log.receipt(logIndex, batch, leafIndex);
          const policy = { logKeys: [log.vkey] };
          expect(verifyReceipt(receipt, { leaf: batch[leafIndex]! }, policy)).toMatchObject({
            logIndex,
            leafIndex,
          });
          expectRefusal(
            () => verifyReceipt(receipt, { leaf: leavesOf(1, 'no such event')[0]! }, policy),
            'LEAF_PATH',
          );
        },
      ),
      { numRuns: 20 },
    );
  });

  test('a log of one entry and a batch of one leaf verify with empty paths', () => {
    const small = new TestLog(CLUSTER, 1);
    small.append(leaves.slice(0, 1));
    const receipt = small.receipt(0, leaves.slice(0, 1), 0);
    expect(receipt).toMatchObject({ leafPath: [], recordPath: [] });
    expect(verifyReceipt(receipt, { leaf: leaves[0]! }, { logKeys: [small.vkey] }).treeSize).toBe(1);
  });

  // Invariant 6. Seen red with each of these left out of the verifier: the signature (closeCheckpoint), the record path, the
  // leaf path, the cluster in the origin, the anchor id, the leaf index.
  describe('what the notary says is not believed', () => {
    const mallory = new TestLog(CLUSTER, 66);

    test("another event's leaf", () => {
      expectRefusal(() => verifyReceipt(receipt, { leaf: leaves[4]! }, policy), 'LEAF_PATH');
      expectRefusal(
        () => verifyReceipt({ ...receipt, leaf: leaves[4]! }, { leaf: leaves[4]! }, policy),
        'LEAF_PATH',
      );
      expectRefusal(() => verifyReceipt({ ...receipt, leaf: leaves[4]! }, { leaf }, policy), 'LEAF_MISMATCH');
    });

    test('a receipt of another leaf or anchor than the caller asked about', () => {
      const other = log.receipt(logIndex, leaves, 4);
      expectRefusal(
        () => verifyReceipt(other, { leaf: leaves[4]!, leafIndex: 5 }, policy),
        'LEAF_INDEX_MISMATCH',
      );
      const otherId = anchorId.replace(/4$/, '5');
      expectRefusal(() => verifyReceipt(receipt, { leaf, anchorId: otherId }, policy), 'ANCHOR_MISMATCH');
    });

    test('a leaf index past the batch, even one whose path would fit', () => {
      expectRefusal(
        () => verifyReceipt({ ...receipt, leafIndex: 7 }, { leaf }, policy),
        'LEAF_INDEX_OUT_OF_RANGE',
      );
      expectRefusal(
        () => verifyReceipt({ ...receipt, leafIndex: Number.MAX_SAFE_INTEGER }, { leaf }, policy),
        'LEAF_INDEX_OUT_OF_RANGE',
      );
    });

    test('a log index past the log, and another index inside it', () => {
      expectRefusal(
        () => verifyReceipt({ ...receipt, logIndex: 6 }, { leaf }, policy),
        'LOG_INDEX_OUT_OF_RANGE',
      );
      for (const logIndex of [0, 1, 2, 3, 5]) {
        expectRefusal(() => verifyReceipt({ ...receipt, logIndex }, { leaf }, policy), 'RECORD_PATH');
      }
    });

    test('a checkpoint signed by another key under the same name', () => {
      mallory.entries.push(...log.entries);
      const forged = { ...receipt, checkpoint: mallory.checkpoint() };
      expectRefusal(() => verifyReceipt(forged, { leaf }, policy), 'UNKNOWN_KEY');
      expect(verifyReceipt(forged, { leaf }, { logKeys: [mallory.vkey] }).signers).toEqual([mallory.vkey]);
    });

    test('a log of another origin, also one whose own key is pinned as well', () => {
      const other = new TestLog(CLUSTER, 3, 'elsewhere.example/logs');
      other.entries.push(...log.entries);
      const moved = { ...receipt, checkpoint: other.checkpoint() };
      expectRefusal(() => verifyReceipt(moved, { leaf }, policy), 'ORIGIN_MISMATCH');
      // The text names one log, the signature is a pinned key's of another.
      const text = log.checkpoint().split('\n\n')[0]!;
      const crossSigned = { ...receipt, checkpoint: other.sign(`${text}\n`) };
      expectRefusal(
        () => verifyReceipt(crossSigned, { leaf }, { logKeys: [log.vkey, other.vkey] }),
        'UNKNOWN_KEY',
      );
    });

    test("another tenant's record in a log of ours", () => {
      const stranger = '11111111-2222-4333-8444-555555555555';
      const log = new TestLog(CLUSTER, 1);
      log.append(leaves, { clusterId: stranger });
      expectRefusal(() => verifyReceipt(log.receipt(0, leaves, 5), { leaf }, policy), 'CLUSTER_MISMATCH');
      // An origin that ends in the id without a slash before it is not that cluster's.
      const glued = new TestLog(CLUSTER, 1, 'notary.example/logs/x').origin.replace('x/', 'x');
      const impostor = new TestLog(CLUSTER, 1);
      Object.assign(impostor, { origin: glued });
      impostor.append(leaves);
      expectRefusal(
        () => verifyReceipt(impostor.receipt(0, leaves, 5), { leaf }, { logKeys: [impostor.vkey] }),
        'CLUSTER_MISMATCH',
      );
    });

    test('an inner node or the root of the batch in place of a leaf', () => {
      const inner = naiveRoot(leaves.slice(4, 6));
      const shortened = { ...receipt, leafIndex: 2, leafPath: receipt.leafPath.slice(1) };
      expectRefusal(() => verifyReceipt(shortened, { leaf: inner }, policy), 'LEAF_PATH');
    });

    test('paths that are too short, too long, reordered or swapped', () => {
      const { leafPath, recordPath } = receipt;
      const extra = leaves[0]!;
      for (const path of [
        leafPath.slice(1),
        leafPath.slice(0, -1),
        [...leafPath, extra],
        [extra, ...leafPath],
        [...leafPath].reverse(),
        [],
      ]) {
        expectRefusal(() => verifyReceipt({ ...receipt, leafPath: path }, { leaf }, policy), 'LEAF_PATH');
      }
      for (const path of [recordPath.slice(1), [...recordPath, extra], [...recordPath].reverse(), []]) {
        expectRefusal(() => verifyReceipt({ ...receipt, recordPath: path }, { leaf }, policy), 'RECORD_PATH');
      }
      const swapped = { ...receipt, leafPath: recordPath, recordPath: leafPath };
      expectRefusal(() => verifyReceipt(swapped, { leaf }, policy), 'LEAF_PATH', 'RECORD_PATH');
    });

    test('a log entry that is no anchor record', () => {
      const log = new TestLog(CLUSTER, 1);
      log.entries.push(
        formatSuccessionRecord({
          clusterId: CLUSTER,
          predecessorId: CLUSTER,
          predecessorOrigin: 'notary.example/old',
          predecessorSize: 0,
          predecessorRoot: new Uint8Array(32),
          reason: '',
          createdAtMs: 0,
        }),
        new TextEncoder().encode('{"type":"somebody.example/x"}'),
        new TextEncoder().encode('not even JSON'),
      );
      for (const index of [0, 1, 2]) {
        expectRefusal(() => verifyReceipt(log.receipt(index, leaves, 5), { leaf }, policy), 'BAD_RECORD');
      }
    });

    test('a record that the log does not hold', () => {
      const other = new TestLog(CLUSTER, 1);
      other.append(leaves, { submitter: 'somebody else' });
      expectRefusal(
        () => verifyReceipt({ ...receipt, record: other.entries[0]! }, { leaf }, policy),
        'RECORD_PATH',
      );
    });
  });

  test('every single-bit damage of every byte in a receipt is refused', () => {
    const damaged = (bytes: Uint8Array, bit: number) => {
      const copy = Uint8Array.from(bytes);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      return copy;
    };
    // Hashing is the work of each try, so a signature is checked only where everything else still fits.
    for (let bit = 0; bit < receipt.record.length * 8; bit++) {
      const record = damaged(receipt.record, bit);
      expect(() => verifyReceipt({ ...receipt, record }, { leaf }, policy)).toThrow(
        expect.objectContaining({ name: 'VerificationError' }),
      );
    }
    for (const field of ['leafPath', 'recordPath'] as const) {
      const path = receipt[field];
      for (let position = 0; position < path.length; position++) {
        for (let bit = 0; bit < 256; bit++) {
          const changed = path.with(position, damaged(path[position]!, bit));
          expectRefusal(
            () => verifyReceipt({ ...receipt, [field]: changed }, { leaf }, policy),
            field === 'leafPath' ? 'LEAF_PATH' : 'RECORD_PATH',
          );
        }
      }
    }
    for (let bit = 0; bit < 256; bit++) {
      expectRefusal(() => verifyReceipt(receipt, { leaf: damaged(leaf, bit) }, policy), 'LEAF_PATH');
    }
    const { checkpoint } = receipt;
    for (let index = 0; index < checkpoint.length; index++) {
      for (let bit = 0; bit < 7; bit++) {
        const character = String.fromCharCode(checkpoint.charCodeAt(index) ^ (1 << bit));
        const changed = checkpoint.slice(0, index) + character + checkpoint.slice(index + 1);
        expect(() => verifyReceipt({ ...receipt, checkpoint: changed }, { leaf }, policy)).toThrow(
          expect.objectContaining({ name: 'VerificationError' }),
        );
      }
    }
  });

  test('no damage of one character of a .tlog-proof verifies', () => {
    const text = formatTlogProof(receipt);
    expect(verifyReceipt(parseTlogProof(text), { leaf }, policy).leafIndex).toBe(5);
    for (let index = 0; index < text.length; index++) {
      for (const replacement of ['', 'A', 'B', '\n', '0']) {
        const changed = text.slice(0, index) + replacement + text.slice(index + 1);
        if (changed === text) continue;
        expect(() => verifyReceipt(parseTlogProof(changed), { leaf }, policy)).toThrow();
      }
    }
  });

  test("what is said to be in a receipt may be of any shape, and is refused without other errors than this layer's", () => {
    const odd = fc.oneof(
      fc.anything(),
      fc.constantFrom<unknown>(
        -1,
        1.5,
        2 ** 53,
        '5',
        5n,
        null,
        undefined,
        [new Uint8Array(31)],
        Array(1),
        Array(65).fill(leaf),
        { length: 3 },
        new Uint16Array(32),
      ),
    );
    const field = fc.constantFrom(
      'leaf',
      'leafIndex',
      'leafPath',
      'record',
      'logIndex',
      'recordPath',
      'checkpoint',
    );
    fc.assert(
      fc.property(field, odd, (name, value) => {
        if (name === 'leaf' && value === undefined) return;
        if ((name === 'leafIndex' && value === 5) || (name === 'logIndex' && value === 4)) return;
        const hostile = { ...receipt, [name]: value } as Receipt;
        expect(() => verifyReceipt(hostile, { leaf }, policy)).toThrow(
          expect.objectContaining({ name: 'VerificationError' }),
        );
      }),
      { numRuns: 500 },
    );
    expectRefusal(
      () => verifyReceipt({ ...receipt, recordPath: Array(3) } as Receipt, { leaf }, policy),
      'BAD_RECEIPT',
    );
    expectRefusal(() => verifyReceipt({ ...receipt, leafIndex: -1 }, { leaf }, policy), 'BAD_RECEIPT');
    expectRefusal(
      () => verifyReceipt({ ...receipt, checkpoint: 'a'.repeat(10_000_000) }, { leaf }, policy),
      'BAD_CHECKPOINT',
    );
  });

  test("the caller's own leaf is obligatory, and its other expectations must be well formed", () => {
    for (const bad of [undefined, new Uint8Array(), new Uint8Array(31), new Uint8Array(33), 'x'.repeat(32)]) {
      expectRefusal(() => verifyReceipt(receipt, { leaf: bad as Uint8Array }, policy), 'BAD_EXPECTED');
    }
    expectRefusal(() => verifyReceipt(receipt, { leaf, anchorId: 'x' }, policy), 'BAD_EXPECTED');
    expectRefusal(() => verifyReceipt(receipt, { leaf, leafIndex: -1 }, policy), 'BAD_EXPECTED');
  });

  test('both keys of a rotation may be pinned, before, while and after both sign', () => {
    const next = new TestLog(CLUSTER, 9);
    next.entries.push(...log.entries);
    const nextLine = next.checkpoint().split('\n\n')[1]!;
    const both: TlogProof = { ...receipt, checkpoint: receipt.checkpoint + nextLine };
    const pinned = { logKeys: [log.vkey, next.vkey] };
    expect(verifyReceipt(receipt, { leaf }, pinned).signers).toEqual([log.vkey]);
    expect(verifyReceipt(both, { leaf }, pinned).signers).toEqual([log.vkey, next.vkey]);
    expect(verifyReceipt(both, { leaf }, policy).signers).toEqual([log.vkey]);
    expect(verifyReceipt({ ...receipt, checkpoint: next.checkpoint() }, { leaf }, pinned).signers).toEqual([
      next.vkey,
    ]);
    const broken = nextLine.replace(/.{8}=\n$/, (end) => `${end[0] === 'A' ? 'B' : 'A'}${end.slice(1)}`);
    const halfBroken = { ...receipt, checkpoint: receipt.checkpoint + broken };
    expectRefusal(() => verifyReceipt(halfBroken, { leaf }, pinned), 'BAD_SIGNATURE');
    expect(verifyReceipt(halfBroken, { leaf }, policy).signers).toEqual([log.vkey]);
  });

  test('a note full of strangers is ignored in any order and number', () => {
    const [text, line] = receipt.checkpoint.split('\n\n');
    const stranger = `— witness.example ${encodeBase64(new Uint8Array(76).fill(1))}\n`;
    const checkpoint = `${text}\n\n${stranger.repeat(50)}${line}${stranger.repeat(49)}`;
    expect(verifyReceipt({ ...receipt, checkpoint }, { leaf }, policy).signers).toEqual([log.vkey]);
  });

  test('a policy without a usable key is refused', () => {
    expectRefusal(() => verifyReceipt(receipt, { leaf }, { logKeys: [] }), 'BAD_POLICY');
    expectRefusal(() => verifyReceipt(receipt, { leaf }, { logKeys: ['x'] }), 'BAD_POLICY');
    expectRefusal(
      () => verifyReceipt(receipt, { leaf }, { logKeys: [log.vkey, `${log.vkey}A`] }),
      'BAD_POLICY',
    );
  });

  test('the naive paths used here are those of a receipt of the last leaf too', () => {
    const last = log.receipt(logIndex, leaves, 6);
    expect(last.leafPath).toEqual(naiveInclusionPath(6, leaves));
    expect(verifyReceipt(last, { leaf: leaves[6]! }, policy).leafIndex).toBe(6);
  });
});
