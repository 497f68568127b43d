import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  assembleCheckpoint,
  checkOrigin,
  formatCheckpointText,
  parseCheckpoint,
  parseCheckpointText,
} from '../../src/note/index.ts';
import { expectRefusal } from './refusal.ts';

const ROOT = 'CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=';
const root = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('checkpoints', () => {
  test('the cosigned example of c2sp.org/tlog-cosignature is read', () => {
    const example =
      `example.com/behind-the-sofa\n20852163\n${ROOT}\n\n` +
      '— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n' +
      '— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n';
    const { checkpoint, note } = parseCheckpoint(example);
    expect(checkpoint).toEqual({
      origin: 'example.com/behind-the-sofa',
      size: 20_852_163,
      root: new Uint8Array(Buffer.from(ROOT, 'base64')),
    });
    expect(note.signatures.map(({ signature }) => signature.length)).toEqual([64, 72]);
    expect(assembleCheckpoint(note.text, note.signatures)).toBe(example);
  });

  test('what is written is read back', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), root, (size, root) => {
        const checkpoint = { origin: 'notary.example/é/log', size, root };
        expect(parseCheckpointText(formatCheckpointText(checkpoint))).toEqual(checkpoint);
      }),
    );
    const largest = { origin: 'a', size: Number.MAX_SAFE_INTEGER, root: new Uint8Array(32) };
    expect(parseCheckpointText(formatCheckpointText(largest))).toEqual(largest);
  });

  test('extension lines are kept', () => {
    expect(parseCheckpointText(`a\n0\n${ROOT}\nx\n y \n`).extensions).toEqual(['x', ' y ']);
    expect(parseCheckpointText(`a\n0\n${ROOT}\n`)).not.toHaveProperty('extensions');
  });

  // Seen red when sizes were read by Number() alone.
  test.each([
    '00',
    '01',
    '+1',
    '-0',
    '-1',
    ' 1',
    '1 ',
    '1e3',
    '0x1',
    '1.0',
    '',
    'NaN',
    '１',
    '9007199254740992',
    '9'.repeat(100_000),
  ])('a size of %.20j is refused', (size) => {
    expectRefusal(() => parseCheckpointText(`origin\n${size}\n${ROOT}\n`), 'MALFORMED_CHECKPOINT');
  });

  test.each([
    ['nothing', ''],
    ['no root', 'origin\n1\n'],
    ['no newline', `origin\n1\n${ROOT}`],
    ['an empty origin', `\n1\n${ROOT}\n`],
    ['a short root', 'origin\n1\nAAAA\n'],
    ['a root with trailing bits', `origin\n1\n${ROOT.replace('2I=', '2J=')}\n`],
    ['a root without padding', `origin\n1\n${ROOT.slice(0, -1)}\n`],
    ['a carriage return', `origin\n1\n${ROOT}\r\n`],
    ['an empty extension line', `origin\n1\n${ROOT}\n\nx\n`],
    ['a trailing empty line', `origin\n1\n${ROOT}\n\n`],
  ])('a text with %s is refused', (_, text) => {
    expectRefusal(() => parseCheckpointText(text), 'MALFORMED_CHECKPOINT');
  });

  test('what could not be read back is not written', () => {
    const root = new Uint8Array(32);
    for (const size of [-1, -0, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expectRefusal(() => formatCheckpointText({ origin: 'a', size, root }), 'MALFORMED_CHECKPOINT');
    }
    expectRefusal(
      () => formatCheckpointText({ origin: 'a', size: 1, root: new Uint8Array(31) }),
      'MALFORMED_CHECKPOINT',
    );
    expectRefusal(() => formatCheckpointText({ origin: 'a b', size: 1, root }), 'BAD_NAME');
    expectRefusal(() => assembleCheckpoint('origin\n', []), 'MALFORMED_CHECKPOINT');
    expectRefusal(() => assembleCheckpoint(`origin\n1\n${ROOT}\n`, []), 'MALFORMED_NOTE');
  });
});

describe('origins', () => {
  test('255 bytes of UTF-8 are taken, more are not', () => {
    expect(checkOrigin('é'.repeat(127))).toBe('é'.repeat(127));
    expect(checkOrigin('a'.repeat(255))).toBe('a'.repeat(255));
    expectRefusal(() => checkOrigin('é'.repeat(128)), 'BAD_NAME');
    expectRefusal(() => checkOrigin('a'.repeat(256)), 'BAD_NAME');
  });

  test.each([
    '',
    'a b',
    'a+b',
    'a\u00a0b',
    'a\u2028b',
    'a\u3000b',
    'a\u0085b',
    'a\nb',
    'a\0b',
    '\ud800',
    '\x1f',
  ])('%j is refused', (origin) => {
    expectRefusal(() => checkOrigin(origin), 'BAD_NAME');
  });
});
