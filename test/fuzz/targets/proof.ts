import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fastHasher } from '../../../src/merkle/fast.ts';
import { verifyEd25519Natively } from '../../../src/native/ed25519.ts';
import {
  encodeBase64,
  formatTlogProof,
  NoteError,
  parseTlogProof,
  type TlogProof,
} from '../../../src/note/index.ts';
import { type Verdict, VerificationError, verifyReceipt } from '../../../src/verify/index.ts';
import { LOGS, logNamed, VKEYS } from '../honest-log.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

const POLICY = { logKeys: VKEYS };
const FAST = { hasher: fastHasher, verifyEd25519: verifyEd25519Natively };

/** Proofs of this leaf and that, the leaf that the caller claims to have in the first line. */
const SEEDS = LOGS.flatMap((log) =>
  log.batches.flatMap(({ leaves }, logIndex) =>
    leaves.flatMap((leaf, leafIndex) =>
      leafIndex % 3 === 0
        ? [logIndex + 1, log.size].map((size) => claim(leaf, log.proof(logIndex, leafIndex, size)))
        : [],
    ),
  ),
);
const GOLDEN = claim(
  new Uint8Array(32),
  readFileSync(join(import.meta.dirname, '../../golden/receipt.tlog-proof'), 'utf8'),
);

/**
 * A `.tlog-proof` that parses is written again as it was; one that verifies says of the leaf what is true of it: this log,
 * this anchor, this place in it, this entry, this head.
 *
 * Seen red: with the record's cluster not compared with the origin; with non-canonical base64 taken.
 */
export const proof: Target = {
  name: 'proof',
  share: 18,
  open: () => ({
    inputs: damagedText(
      [...SEEDS, GOLDEN],
      ['index 0\n', 'extra ', encodeBase64(new Uint8Array(32)), 'c2sp.org/tlog-proof@v1\n'],
    ),
    check(input) {
      const text = asText(input);
      const end = text.indexOf('\n');
      const leaf = new Uint8Array(Buffer.from(text.slice(0, Math.max(end, 0)), 'hex'));
      const file = text.slice(end + 1);
      const read = parsed(() => parseTlogProof(file), NoteError);
      if (read === undefined) return false;
      must(formatTlogProof(read) === file, 'accepted a spelling that is not written again');
      const verdict = parsed(() => verifyReceipt(read, { leaf }, POLICY, FAST), VerificationError);
      if (verdict !== undefined) checkTruth(verdict, leaf, read);
      return verdict !== undefined;
    },
    growth: [
      {
        name: 'a proof of many path lines',
        from: 15_000,
        prepare: (n) => reading(`index 0\n${`${HASH}\n`.repeat(n / 4)}`),
      },
      {
        name: 'a proof of empty path lines',
        from: 100_000,
        prepare: (n) => reading('index 0\n'.repeat(n / 8)),
      },
      {
        name: 'a proof with much extra data',
        from: 100_000,
        prepare: (n) => reading(`extra ${'Cgo='.repeat(n / 4)}\n`),
      },
      {
        name: 'a proof with a large record',
        from: 100_000,
        prepare: (n) => extra(`quartermaster.dev/leaf-proof@v1\nindex 0\n\n${'x'.repeat(n)}`),
      },
      {
        name: 'a proof with a long leaf path',
        from: 100_000,
        prepare: (n) => extra(`quartermaster.dev/leaf-proof@v1\nindex 0\n${'x\n'.repeat(n / 2)}\n`),
      },
    ],
  }),
};

const HASH = encodeBase64(new Uint8Array(32));

function claim(leaf: Uint8Array, text: string): string {
  return `${Buffer.from(leaf).toString('hex')}\n${text}`;
}

function checkTruth(verdict: Verdict, leaf: Uint8Array, read: TlogProof): void {
  const log = logNamed(verdict.origin);
  must(
    log !== undefined && log.clusterId === verdict.clusterId,
    `verified under the name of ${verdict.origin}`,
  );
  must(log.had(verdict.treeSize, verdict.root), 'verified against a head that was never signed');
  must(verdict.logIndex < verdict.treeSize, 'verified past the end of the log');
  const batch = log.batches[verdict.logIndex];
  must(batch?.anchorId === verdict.anchorId, 'verified another anchor');
  must(Buffer.compare(batch.record, read.record) === 0, 'verified another record');
  must(batch.leaves.length === verdict.leafCount, 'verified another number of leaves');
  const anchored = batch.leaves[verdict.leafIndex];
  must(anchored !== undefined && Buffer.compare(anchored, leaf) === 0, 'verified a leaf that is not there');
}

function reading(middle: string): () => void {
  const text = `c2sp.org/tlog-proof@v1\n${middle}\no\n1\n${HASH}\n\n— x AAAAAAA=\n`;
  return () => void parsed(() => parseTlogProof(text), NoteError);
}

function extra(text: string): () => void {
  return reading(`extra ${Buffer.from(text).toString('base64')}\nindex 0\n`);
}
