import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { formatNote, MAX_NOTE_LENGTH, MAX_SIGNATURES, type Note, parseNote } from '../../src/note/index.ts';
import { expectRefusal } from './refusal.ts';
import { enochLine, peterLine, text } from './sumdb-note.ts';

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((value) => value.isWellFormed() && !/[\p{White_Space}+]/u.test(value) && !/\p{Cc}/u.test(value));
const note: fc.Arbitrary<Note> = fc.record({
  text: fc
    .array(
      fc.string({ unit: 'grapheme' }).map((line) => line.replaceAll(/\p{Cc}/gu, '')),
      { maxLength: 5 },
    )
    .map((lines) => lines.map((line) => `${line}\n`).join('') || '\n'),
  signatures: fc.array(
    fc.record({
      name,
      keyId: fc.uint8Array({ minLength: 4, maxLength: 4 }),
      signature: fc.uint8Array({ minLength: 1, maxLength: 80 }),
    }),
    { minLength: 1, maxLength: 5 },
  ),
});

describe('signed notes', () => {
  test('the published note of golang.org/x/mod is read and written again', () => {
    const parsed = parseNote(`${text}\n${peterLine}${enochLine}`);
    expect(parsed.text).toBe(text);
    expect(parsed.signatures.map(({ name, keyId }) => [name, Buffer.from(keyId).toString('hex')])).toEqual([
      ['PeterNeumann', 'c74f20a3'],
      ['EnochRoot', 'af0cfe78'],
    ]);
    expect(parsed.signatures.map(({ signature }) => signature.length)).toEqual([64, 64]);
    expect(formatNote(parsed)).toBe(`${text}\n${peterLine}${enochLine}`);
  });

  test('the last empty line separates text and signatures, as in the example of c2sp.org/signed-note', () => {
    const example =
      'Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n' +
      '— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n';
    const parsed = parseNote(example);
    expect(parsed.text.endsWith('sole:\n\ned è subito sera.\n')).toBe(true);
    expect(parsed.signatures).toHaveLength(1);
    expect(formatNote(parsed)).toBe(example);
  });

  test('what is written is read back', () => {
    fc.assert(
      fc.property(note, (value) => {
        expect(parseNote(formatNote(value))).toEqual(value);
      }),
    );
  });

  // Seen red when base64 with left-over bits was decoded.
  test('a note damaged in one character is refused or is another note, never the same one spelled differently', () => {
    const good = `${text}\n${peterLine}${enochLine}`;
    for (let index = 0; index < good.length; index++) {
      for (const replacement of [
        '',
        '\n',
        '\r',
        ' ',
        '+',
        '=',
        'A',
        '\t',
        ' ',
        '\ufeff',
        '\ud800',
        '— ',
        '\0',
      ]) {
        const damaged = good.slice(0, index) + replacement + good.slice(index + 1);
        let parsed: Note;
        try {
          parsed = parseNote(damaged);
        } catch (error) {
          expect(error).toMatchObject({ name: 'NoteError' });
          continue;
        }
        expect(formatNote(parsed)).toBe(damaged);
      }
    }
  });

  test.each([
    ['no signature block', text],
    ['an empty signature block', `${text}\n`],
    ['no newline at the end', `${text}\n${peterLine.slice(0, -1)}`],
    ['a control character', `\x01${text}\n${peterLine}`],
    ['a carriage return', `${text.replaceAll('\n', '\r\n')}\r\n${peterLine}`],
    ['a tab', `\t${text}\n${peterLine}`],
    ['a lone surrogate', `\ud800${text}\n${peterLine}`],
    ['nothing', ''],
    ['only newlines', '\n\n'],
    ['only newlines and no text', '\n\n\n'],
  ])('a note with %s is refused', (_, hostile) => {
    expectRefusal(() => parseNote(hostile), 'MALFORMED_NOTE');
  });

  test.each([
    ['a name with a space', '— Bad Name x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZI=\n'],
    ['a name with a plus', '— Bad+Name x08go/ZJkuBS\n'],
    ['a name with a no-break space', '— Bad\u00a0Name x08go/ZJkuBS\n'],
    ['a name with a next-line character', '— Bad\u0085Name x08go/ZJkuBS\n'],
    ['an empty name', '—  x08go/ZJkuBS\n'],
    ['a hyphen for a dash', '- PeterNeumann x08go/ZJkuBS\n'],
    ['no base64', '— PeterNeumann\n'],
    ['empty base64', '— PeterNeumann \n'],
    ['a key ID and no signature', '— PeterNeumann x08gow==\n'],
    ['base64 with trailing bits', '— PeterNeumann x08go/ZJkuBT9R==\n'],
    ['base64 without padding', '— PeterNeumann x08go/ZJkuBT9Q\n'],
    ['a trailing space', '— PeterNeumann x08go/ZJkuBS \n'],
    ['another line', `${peterLine}Unexpected line.\n`],
  ])('a signature line with %s is refused', (_, hostile) => {
    expectRefusal(() => parseNote(`${text}\n${hostile}`), 'MALFORMED_SIGNATURE');
  });

  test('a hundred signatures are read, one more is refused', () => {
    const many = `${text}\n${peterLine.repeat(MAX_SIGNATURES)}`;
    expect(parseNote(many).signatures).toHaveLength(100);
    expectRefusal(() => parseNote(many + peterLine), 'TOO_MANY_SIGNATURES');
    const { signatures } = parseNote(many);
    expectRefusal(
      () => formatNote({ text, signatures: [...signatures, signatures[0]!] }),
      'TOO_MANY_SIGNATURES',
    );
  });

  test('sixteen signatures of five kilobytes are read', () => {
    const line = `— witness.example ${Buffer.alloc(5000, 1).toString('base64')}\n`;
    expect(parseNote(`${text}\n${line.repeat(16)}`).signatures).toHaveLength(16);
  });

  test('hostile megabytes are refused or read in linear time', () => {
    const size = MAX_NOTE_LENGTH - 200;
    const hostile = [
      '\n'.repeat(size),
      `${'\n'.repeat(size)}${peterLine}`,
      `${text}\n${'— \n'.repeat(size / 4)}`,
      `${text}\n— ${'a'.repeat(size - 200)} AAAA\n`,
      `${text}\n— a ${' '.repeat(size - 200)}\n`,
      `${text}\n— a ${'A'.repeat(size - 200)}\n`,
      '— '.repeat(size / 2),
    ];
    const started = performance.now();
    for (const note of hostile) {
      try {
        parseNote(note);
      } catch (error) {
        expect(error).toMatchObject({ name: 'NoteError' });
      }
    }
    // A quadratic scan of a million characters would take minutes.
    expect(performance.now() - started).toBeLessThan(5000);
    expectRefusal(() => parseNote('a'.repeat(MAX_NOTE_LENGTH + 1)), 'TOO_LARGE');
  });

  test.each<[string, Note]>([
    ['a text without newline', { text: 'abc', signatures: parseNote(`${text}\n${peterLine}`).signatures }],
    ['an empty text', { text: '', signatures: parseNote(`${text}\n${peterLine}`).signatures }],
    ['a control character', { text: 'a\rb\n', signatures: parseNote(`${text}\n${peterLine}`).signatures }],
    ['a lone surrogate', { text: '\udc00\n', signatures: parseNote(`${text}\n${peterLine}`).signatures }],
    ['no signatures', { text, signatures: [] }],
    [
      'a bad name',
      { text, signatures: [{ name: 'a+b', keyId: new Uint8Array(4), signature: new Uint8Array(64) }] },
    ],
    [
      'a long key ID',
      { text, signatures: [{ name: 'a', keyId: new Uint8Array(5), signature: new Uint8Array(64) }] },
    ],
    [
      'no signature bytes',
      { text, signatures: [{ name: 'a', keyId: new Uint8Array(4), signature: new Uint8Array() }] },
    ],
  ])('a note with %s is not written', (_, value) => {
    expectRefusal(() => formatNote(value), 'MALFORMED_NOTE', 'MALFORMED_SIGNATURE');
  });
});
