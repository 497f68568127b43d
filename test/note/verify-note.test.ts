import { describe, expect, test } from '@jest/globals';
import {
  COSIGNATURE_V1,
  encodeBase64,
  formatNote,
  keyId,
  parseNote,
  parseVkey,
  publicKeyEd25519,
  signEd25519,
  verifyNote,
} from '../../src/note/index.ts';
import { expectRefusal } from './refusal.ts';
import { enochKey, enochLine, peterKey, peterLine, peterSecretSeed, text } from './sumdb-note.ts';

const peter = parseVkey(peterKey);
const enoch = parseVkey(enochKey);
const names = (note: string, known: Parameters<typeof verifyNote>[1]) =>
  verifyNote(note, known).verified.map(({ name }) => name);

describe('verifying a note', () => {
  test('known keys that signed are returned in the order of the note, unknown ones are ignored', () => {
    const both = `${text}\n${peterLine}${enochLine}`;
    expect(names(both, [peter])).toEqual(['PeterNeumann']);
    expect(names(both, [enoch])).toEqual(['EnochRoot']);
    expect(names(both, [enoch, peter])).toEqual(['PeterNeumann', 'EnochRoot']);
    expect(names(`${text}\n${enochLine}${peterLine}`, [peter])).toEqual(['PeterNeumann']);
    expect(verifyNote(both, [peter]).note).toEqual(parseNote(both));
  });

  test('the published secret key makes the published signature', () => {
    const seed = new Uint8Array(Buffer.from(peterSecretSeed, 'base64'));
    const signature = signEd25519(seed, new TextEncoder().encode(text));
    expect(publicKeyEd25519(seed)).toEqual(peter.publicKey);
    expect(formatNote({ text, signatures: [{ name: peter.name, keyId: peter.keyId, signature }] })).toBe(
      `${text}\n${peterLine}`,
    );
  });

  test('a note that no known key has signed is refused', () => {
    expectRefusal(() => verifyNote(`${text}\n${peterLine}${enochLine}`, []), 'UNKNOWN_KEY');
    expectRefusal(() => verifyNote(`${text}\n${peterLine}`, [enoch]), 'UNKNOWN_KEY');
  });

  // Seen red when a bad signature was skipped instead of thrown.
  test("a known key's bad signature rejects the note even beside good ones of other known keys", () => {
    const bad = `${peterLine.slice(0, 60)}ABCD${peterLine.slice(60)}`;
    expectRefusal(() => verifyNote(`${text}\n${bad}`, [peter]), 'BAD_SIGNATURE');
    expectRefusal(() => verifyNote(`${text}\n${enochLine}${bad}`, [peter, enoch]), 'BAD_SIGNATURE');
    expectRefusal(() => verifyNote(`${text}\n${peterLine}${bad}`, [peter]), 'BAD_SIGNATURE');
    expect(names(`${text}\n${enochLine}${bad}`, [enoch])).toEqual(['EnochRoot']);
  });

  test('a changed text is refused', () => {
    for (let index = 0; index < text.length - 1; index++) {
      const changed = `${text.slice(0, index)}${text[index] === 'x' ? 'y' : 'x'}${text.slice(index + 1)}`;
      expectRefusal(() => verifyNote(`${changed}\n${peterLine}`, [peter]), 'BAD_SIGNATURE');
    }
  });

  test('a key is known by its name and its ID together', () => {
    const renamed = peterLine.replace('PeterNeumann', 'CarmenSandiego');
    expectRefusal(() => verifyNote(`${text}\n${renamed}`, [peter]), 'UNKNOWN_KEY');
    const otherId = peterLine.replace('x08g', 'xxxx');
    expectRefusal(() => verifyNote(`${text}\n${otherId}`, [peter]), 'UNKNOWN_KEY');
  });

  test('a repeated signature counts once and is verified once', () => {
    let verifications = 0;
    const { verified } = verifyNote(`${text}\n${peterLine.repeat(100)}`, [peter], {
      verifyEd25519: () => {
        verifications++;
        return true;
      },
    });
    expect(verified).toHaveLength(1);
    expect(verifications).toBe(1);
  });

  test('a known key that is listed twice is one key, two different keys under one name and ID are refused', () => {
    expect(names(`${text}\n${peterLine}`, [peter, peter])).toEqual(['PeterNeumann']);
    const impostor = { ...enoch, name: peter.name, keyId: peter.keyId };
    expectRefusal(() => verifyNote(`${text}\n${peterLine}`, [peter, impostor]), 'AMBIGUOUS_KEY');
  });

  test('a known key of a type that cannot be verified is an error, not a key to ignore', () => {
    const cosigner = {
      ...peter,
      type: COSIGNATURE_V1,
      keyId: keyId(peter.name, COSIGNATURE_V1, peter.publicKey),
    };
    expectRefusal(() => verifyNote(`${text}\n${peterLine}`, [peter, cosigner]), 'UNSUPPORTED_KEY_TYPE');
  });

  test('a signature of another length than 64 bytes is bad whatever the plugged-in verifier says', () => {
    const short = `— PeterNeumann ${encodeBase64(Uint8Array.from([...peter.keyId, 1, 2, 3]))}\n`;
    expectRefusal(
      () => verifyNote(`${text}\n${short}`, [peter], { verifyEd25519: () => true }),
      'BAD_SIGNATURE',
    );
  });
});
