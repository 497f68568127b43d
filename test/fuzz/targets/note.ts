import { verifyEd25519Natively } from '../../../src/native/ed25519.ts';
import {
  encodeBase64,
  formatNote,
  type Note,
  NoteError,
  parseNote,
  parseVkey,
  verifyEd25519,
  verifyNote,
} from '../../../src/note/index.ts';
import { FORGED_NOTES, WEAK_VKEYS } from '../forged-signatures.ts';
import { CHECKPOINTS, VKEYS, wasMade } from '../honest-log.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

const KNOWN = [...VKEYS, ...WEAK_VKEYS].map(parseVkey);

/**
 * A note that parses is written again as it was; one that verifies holds a signature that was really made of this very text.
 *
 * Seen red: with a signature cut to its 64 bytes before verification; with the lenient rules (`zip215: true`); with control
 * characters taken; with later bad signatures of a key ignored after a good one.
 */
export const note: Target = {
  name: 'note',
  share: 16,
  open: () => ({
    inputs: damagedText(
      [...CHECKPOINTS, ...FORGED_NOTES, ...ODD],
      ['— ', 'AAAAAAA=', 'witness.example', '\n— x AAAAAAA=\n'],
    ),
    check(input) {
      const text = asText(input);
      const read = parsed(() => parseNote(text), NoteError);
      if (read === undefined) return false;
      must(formatNote(read) === text, 'accepted a spelling that is not written again');
      must(!CONTROL.test(text), 'accepted a control character');
      checkVerified(read);
      return true;
    },
    growth: [
      {
        name: 'a note of empty lines',
        from: 60_000,
        prepare: (n) => reading(`${'\n'.repeat(n)}\n— x AAAAAAA=\n`),
      },
      { name: 'a note without separator', from: 100_000, prepare: (n) => reading('x\n'.repeat(n / 2)) },
      {
        name: 'a note with a hundred long signatures',
        from: 1_000,
        prepare: (n) => reading(`x\n\n${`— x ${encodeBase64(new Uint8Array(n))}\n`.repeat(90)}`),
      },
      {
        name: 'a note with ever more signatures',
        from: 8_000,
        prepare: (n) => reading(`x\n\n${'— x AAAAAAA=\n'.repeat(n)}`),
      },
      {
        name: 'a note with a long name',
        from: 100_000,
        prepare: (n) => reading(`x\n\n— ${'y'.repeat(n)} AAAAAAA=\n`),
      },
      {
        name: 'a note of em dashes and spaces',
        from: 60_000,
        prepare: (n) => reading(`x\n\n${'— '.repeat(n / 2)}\n`),
      },
    ],
  }),
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\0-\u0009\u000b-\u001f]/;

const ODD = [
  'If you think cryptography is the answer.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n',
  'a\n\nb\n\n\n— x AAAAAAA=\n— y AAAAAAA=\n',
];

function checkVerified(read: Note): void {
  const natively = parsed(() => verifyNote(read, KNOWN, { verifyEd25519: verifyEd25519Natively }), NoteError);
  // OpenSSL takes keys of small order, which the portable code refuses; nobody pins one but this target.
  const isWeak = read.signatures.some(({ name }) => name.startsWith('weak.'));
  const portably =
    natively === undefined && !isWeak
      ? undefined
      : parsed(() => verifyNote(read, KNOWN, { verifyEd25519 }), NoteError);
  if ((portably ?? natively) === undefined) return;
  // All of them: a bad signature of a known key makes the whole note bad.
  for (const { name, keyId, signature } of read.signatures) {
    const key = KNOWN.find((known) => known.name === name && Buffer.compare(known.keyId, keyId) === 0);
    if (key === undefined || (portably === undefined && name.startsWith('weak.'))) continue;
    must(wasMade(read.text, name, keyId, signature), `verified a signature of ${name} that was never made`);
  }
}

function reading(text: string): () => void {
  return () => void parsed(() => parseNote(text), NoteError);
}
