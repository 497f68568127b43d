import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { decodeBase64, encodeBase64 } from '../../src/note/index.ts';

describe('base64', () => {
  test('encodes as node does, and decodes what it encoded', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = encodeBase64(bytes);
        expect(text).toBe(Buffer.from(bytes).toString('base64'));
        expect(decodeBase64(text)).toEqual(bytes);
      }),
    );
  });

  // Seen red when decodeBase64 returned the bytes whatever bits were left over: "AB==" became a second spelling of "AA==".
  test('what it decodes is the only spelling of those bytes', () => {
    const character = fc.constantFrom(...'ABw9+/=', '\n', ' ', '-', '_', 'é', '\u{1F600}', '\0');
    fc.assert(
      fc.property(fc.string({ unit: character, maxLength: 12 }), (text) => {
        const bytes = decodeBase64(text);
        if (bytes !== undefined) expect(encodeBase64(bytes)).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    'A',
    'AA',
    'AAA',
    'AA=',
    'A===',
    '====',
    'AB==',
    'AAB=',
    'AA==AAAA',
    'AAAA\n',
    ' AAA',
    'AA-_',
    'AAA=AAAA',
    '=AAA',
  ])('refuses %j', (text) => {
    expect(decodeBase64(text)).toBeUndefined();
  });

  test('decodes and encodes nothing as nothing', () => {
    expect(decodeBase64('')).toEqual(new Uint8Array());
    expect(encodeBase64(new Uint8Array())).toBe('');
  });
});
