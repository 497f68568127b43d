// Signatures that nobody made and that careless verifiers accept.

import { ed25519Vkey, formatNote, formatVkey, parseNote } from '../../src/note/index.ts';
import { CHECKPOINTS } from './honest-log.ts';

/** Order of the base point's group, RFC 8032 section 5.1. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

/** The encodings of points of small order, canonical and not, as public keys that somebody was talked into pinning. */
const SMALL_ORDER = [
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '0100000000000000000000000000000000000000000000000000000000000080',
].map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));

const WEAK = SMALL_ORDER.map((publicKey, i) => ed25519Vkey(`weak.example/${i}`, publicKey));

export const WEAK_VKEYS: readonly string[] = WEAK.map(formatVkey);

/** S + L in the place of S: the same equation, another signature (RFC 8032 section 5.1.7 demands S < L). */
function malleated(signature: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(signature);
  let s = [...signature.subarray(32)].reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n) + L;
  for (let i = 32; i < 64; i++, s >>= 8n) changed[i] = Number(s & 255n);
  return changed;
}

function withSignatures(note: string, change: (signature: Uint8Array) => Uint8Array): string {
  const { text, signatures } = parseNote(note);
  return formatNote({
    text,
    signatures: signatures.map((line) => ({ ...line, signature: change(line.signature) })),
  });
}

/** R of small order and S = 0: valid for many texts under a key of small order, for verifiers that do not look. */
function weaklySigned(text: string, which: number): string {
  const key = WEAK[which % WEAK.length]!;
  const signature = new Uint8Array(64);
  signature.set(SMALL_ORDER[(which * 3) % SMALL_ORDER.length]!);
  return formatNote({ text, signatures: [{ name: key.name, keyId: key.keyId, signature }] });
}

export const FORGED_NOTES: readonly string[] = [
  ...CHECKPOINTS.map((note) => withSignatures(note, malleated)),
  ...CHECKPOINTS.map((note, i) => weaklySigned(`${parseNote(note).text}`, i)),
  ...CHECKPOINTS.map((note) => withSignatures(note, (signature) => Uint8Array.from([...signature, 0]))),
  ...CHECKPOINTS.map((note) => withSignatures(note, () => new Uint8Array(64))),
];
