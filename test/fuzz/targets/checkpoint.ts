import { verifyEd25519Natively } from '../../../src/native/ed25519.ts';
import {
  encodeBase64,
  formatCheckpointText,
  NoteError,
  parseCheckpoint,
  parseCheckpointText,
} from '../../../src/note/index.ts';
import { VerificationError, verifyCheckpoint } from '../../../src/verify/index.ts';
import { FORGED_NOTES } from '../forged-signatures.ts';
import { CHECKPOINTS, logNamed, MISNAMED, VKEYS } from '../honest-log.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

const POLICY = { logKeys: VKEYS };
const NATIVELY = { verifyEd25519: verifyEd25519Natively };

/**
 * A checkpoint that verifies names an origin, a size and a root that this very log once signed.
 *
 * Seen red: with signatures ignored; with keys asked whatever their name; with sizes read by `Number` (`+5`, `5e0`); with
 * non-canonical base64 taken.
 */
export const checkpoint: Target = {
  name: 'checkpoint',
  share: 16,
  open: () => ({
    inputs: damagedText(
      [...CHECKPOINTS, ...FORGED_NOTES, ...MISNAMED],
      ['extension', '5', encodeBase64(new Uint8Array(32))],
    ),
    check(input) {
      const text = asText(input);
      checkText(text);
      const read = parsed(() => parseCheckpoint(text), NoteError);
      const verified = parsed(() => verifyCheckpoint(text, POLICY, NATIVELY), VerificationError);
      if (verified === undefined) return false;
      const { origin, size, root } = verified;
      must(read !== undefined && read.checkpoint.size === size, 'verified what does not parse');
      must(logNamed(origin)?.had(size, root) === true, `verified a head of ${origin} that was never signed`);
      must(
        verified.checkpoint === text && verified.signers.length > 0,
        'verified another text, or without signers',
      );
      return true;
    },
    growth: [
      {
        name: 'a checkpoint with many extension lines',
        from: 30_000,
        prepare: (n) =>
          reading(`o\n1\n${encodeBase64(new Uint8Array(32))}\n${'e\n'.repeat(n)}\n— x AAAAAAA=\n`),
      },
      {
        name: 'a size of many digits',
        from: 100_000,
        prepare: (n) => reading(`o\n${'9'.repeat(n)}\nx\n\n— x AAAAAAA=\n`),
      },
      {
        name: 'a root of much base64',
        from: 100_000,
        prepare: (n) => reading(`o\n1\n${'A'.repeat(n)}\n\n— x AAAAAAA=\n`),
      },
    ],
  }),
};

function checkText(text: string): void {
  const body = text.slice(0, text.lastIndexOf('\n\n') + 1);
  const read = parsed(() => parseCheckpointText(body), NoteError);
  if (read === undefined || read.extensions !== undefined) return;
  const written = parsed(() => formatCheckpointText(read), NoteError);
  must(written === undefined || written === body, 'accepted a spelling that is not written again');
}

function reading(text: string): () => void {
  return () => void parsed(() => verifyCheckpoint(text, POLICY, NATIVELY), VerificationError);
}
