import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  COSIGNATURE_V1,
  ED25519,
  ed25519Vkey,
  encodeBase64,
  formatVkey,
  keyId,
  ML_DSA_44,
  parseVkey,
} from '../../src/note/index.ts';
import { expectRefusal } from './refusal.ts';
import { enochKey, peterKey } from './sumdb-note.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('verifier keys', () => {
  test.each([peterKey, enochKey])('the published key %s is read and written again', (vkey) => {
    const key = parseVkey(vkey);
    expect(key.type).toBe(ED25519);
    expect(`${key.name}+${hex(key.keyId)}`).toBe(vkey.slice(0, vkey.indexOf('+', vkey.indexOf('+') + 1)));
    expect(formatVkey(key)).toBe(vkey);
    expect(ed25519Vkey(key.name, key.publicKey)).toEqual(key);
  });

  // The manglings of golang.org/x/mod/sumdb/note, TestNewVerifier. Seen red when the key ID was not compared.
  test('no part of a key and no key with one changed character is accepted', () => {
    for (let start = 0; start <= peterKey.length; start++) {
      for (let end = start + 1; end <= peterKey.length; end++) {
        if (start === 0 && end === peterKey.length) continue;
        expect(() => parseVkey(peterKey.slice(start, end))).toThrow(
          expect.objectContaining({ name: 'NoteError' }),
        );
      }
    }
    for (let index = 0; index < peterKey.length; index++) {
      for (let bit = 0; bit < 8; bit++) {
        const changed = String.fromCharCode(peterKey.charCodeAt(index) ^ (1 << bit));
        const damaged = peterKey.slice(0, index) + changed + peterKey.slice(index + 1);
        expect(() => parseVkey(damaged)).toThrow(expect.objectContaining({ name: 'NoteError' }));
      }
    }
  });

  test('a wrong length and an unknown type are refused even with a fitting key ID', () => {
    expectRefusal(
      () => parseVkey('PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY=='),
      'MALFORMED_VKEY',
    );
    expectRefusal(
      () => parseVkey('PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'),
      'UNKNOWN_KEY_TYPE',
    );
  });

  test('keys of every known type are read and written again, whatever their name', () => {
    fc.assert(
      fc.property(
        fc.constantFrom([ED25519, 32], [COSIGNATURE_V1, 32], [ML_DSA_44, 1312]),
        fc.webPath().map((path) => `example.com${path}`.replaceAll('+', '-')),
        fc.integer({ min: 0, max: 255 }),
        ([type, size], name, fill) => {
          const publicKey = new Uint8Array(size!).fill(fill);
          const vkey = formatVkey({ name, type: type!, publicKey, keyId: keyId(name, type!, publicKey) });
          expect(parseVkey(vkey)).toEqual({ name, type, publicKey, keyId: keyId(name, type!, publicKey) });
        },
      ),
    );
  });

  test('the key ID is the first four bytes of a hash over name, newline, type and key', () => {
    const publicKey = new Uint8Array(32).fill(7);
    for (const type of [0x00, 0x01, 0x04, 0x06, 0xff]) {
      const expected = createHash('sha256')
        .update('example.com/log\n')
        .update(Uint8Array.of(type))
        .update(publicKey);
      expect(hex(keyId('example.com/log', type, publicKey))).toBe(expected.digest('hex').slice(0, 8));
    }
  });

  test('other spellings, bad names, no key at all and megabytes are refused', () => {
    const key = parseVkey(peterKey);
    expectRefusal(() => parseVkey(peterKey.replace('c74f20a3', 'C74F20A3')), 'MALFORMED_VKEY');
    expectRefusal(() => parseVkey(`${peterKey}\n`), 'MALFORMED_VKEY');
    expectRefusal(() => parseVkey('PeterNeumann+c74f20a3+'), 'MALFORMED_VKEY');
    expectRefusal(() => parseVkey('+'.repeat(10_000_000)), 'TOO_LARGE');
    for (const name of ['', 'a b', 'a+b', 'a\u2003b', 'a\u0085b', 'a\nb', 'a\0b', '\ud800']) {
      expectRefusal(() => ed25519Vkey(name, key.publicKey), 'BAD_NAME');
      expectRefusal(
        () => parseVkey(`${name}+c74f20a3+${encodeBase64(new Uint8Array(33).fill(1))}`),
        'MALFORMED_VKEY',
      );
    }
    expectRefusal(() => keyId('a', 256, key.publicKey), 'UNKNOWN_KEY_TYPE');
    expectRefusal(() => keyId('a', -1, key.publicKey), 'UNKNOWN_KEY_TYPE');
    expectRefusal(() => ed25519Vkey('a', new Uint8Array(31)), 'MALFORMED_VKEY');
    expectRefusal(() => formatVkey({ ...key, keyId: new Uint8Array(4) }), 'KEY_ID_MISMATCH');
    expectRefusal(() => formatVkey({ ...key, name: 'SomebodyElse' }), 'KEY_ID_MISMATCH');
  });
});
