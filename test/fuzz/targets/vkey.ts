import { createHash } from 'node:crypto';
import { formatVkey, NoteError, parseVkey } from '../../../src/note/index.ts';
import { VKEYS } from '../honest-log.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

/** Of other types, under odd names. */
const OTHERS = [
  vkeyOf('witness.example', 4, Buffer.alloc(32, 7)),
  vkeyOf('é', 6, Buffer.alloc(1312, 9)),
  vkeyOf('x'.repeat(300), 1, Buffer.alloc(32, 1)),
  'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW',
];

/**
 * What is accepted is the one spelling of its key, and its ID is that of the key, computed here by node:crypto.
 *
 * Seen red: without the comparison of the key ID; with `Buffer.from(encoded, 'base64')` for the strict decoder.
 */
export const vkey: Target = {
  name: 'vkey',
  share: 12,
  open: () => ({
    inputs: damagedText([...VKEYS, ...OTHERS], ['+', 'AR', '04', '00000000', 'ED25519']),
    check(input) {
      const text = asText(input);
      const key = parsed(() => parseVkey(text), NoteError);
      if (key === undefined) return false;
      must(formatVkey(key) === text, 'accepted a spelling that is not written again');
      must(vkeyOf(key.name, key.type, key.publicKey) === text, 'accepted a key ID that is not of this key');
      must(
        !/[\s+\p{Cc}\p{Z}]/u.test(key.name.replaceAll('\u007f', '').replace(/[\u0080-\u009f]/g, '')),
        'accepted a name with spaces',
      );
      return true;
    },
    growth: [
      { name: 'a vkey of plus signs', from: 200_000, prepare: (n) => refused('+'.repeat(n)) },
      { name: 'a vkey with a long name', from: 200_000, prepare: (n) => refused('x'.repeat(n)) },
    ],
  }),
};

function refused(text: string): () => void {
  return () => must(parsed(() => parseVkey(text), NoteError) === undefined, 'accepted a monster');
}

function vkeyOf(name: string, type: number, publicKey: Uint8Array): string {
  const bytes = Buffer.concat([Buffer.from([type]), publicKey]);
  const id = createHash('sha256').update(`${name}\n`).update(bytes).digest('hex').slice(0, 8);
  return `${name}+${id}+${bytes.toString('base64')}`;
}
