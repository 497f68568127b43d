// Valid inputs, damaged. A mutation is a few numbers, so that fast-check can shrink it: fewer of them, smaller ones.

import fc, { type Arbitrary } from 'fast-check';

/** What to do, where, how, and with which token or other input. */
type Mutation = readonly [kind: number, where: number, how: number, which: number];

const ANY = 0x7fff_ffff;
const mutation: Arbitrary<Mutation> = fc.tuple(fc.nat(255), fc.nat(ANY), fc.nat(ANY), fc.nat(ANY));
const mutations = fc.array(mutation, { minLength: 1, maxLength: 5 });

/** Texts that are nearly valid: one of `seeds` with up to five kinds of damage, some spliced from another. */
export function damagedText(seeds: readonly string[], tokens: readonly string[]): Arbitrary<string> {
  const all = [...tokens, ...TOKENS];
  return fc
    .tuple(fc.nat(seeds.length - 1), mutations)
    .map(([seed, list]) =>
      list.reduce(
        (text, [kind, ...given]) =>
          bounded(TEXT_DAMAGE[kind % TEXT_DAMAGE.length]?.(text, given, seeds, all) ?? text),
        seeds[seed] ?? '',
      ),
    );
}

/** The same for bytes. */
export function damagedBytes(seeds: readonly Uint8Array[]): Arbitrary<Uint8Array> {
  return fc
    .tuple(fc.nat(seeds.length - 1), mutations)
    .map(([seed, list]) =>
      list.reduce(
        (bytes, [kind, ...given]) =>
          BYTE_DAMAGE[kind % BYTE_DAMAGE.length]?.(bytes, given, seeds).subarray(0, MAX_LENGTH) ?? bytes,
        seeds[seed] ?? new Uint8Array(),
      ),
    );
}

const MAX_LENGTH = 20_000;
const bounded = (text: string): string => (text.length > MAX_LENGTH ? text.slice(0, MAX_LENGTH) : text);

/** Where parsers of text go wrong: separators, controls, look-alikes, numbers at the edges of their types. */
const TOKENS: readonly string[] = [
  ...[
    '\n',
    '\n\n',
    '\r\n',
    '\r',
    '\0',
    '\t',
    ' ',
    '\u00a0',
    '\u2028',
    '\u0085',
    '\ufeff',
    '\u200b',
    '\u202e',
  ],
  ...[
    '\ud800',
    '\udc00',
    '\ufffd',
    'é',
    'e\u0301',
    '\u007f',
    '\u001b[2J',
    '+',
    '—',
    '—\u00a0',
    '=',
    '==',
    '/',
    '-',
  ],
  ...['0', '-0', '-1', '+1', '00', '1e3', '0x10', '٣', '１', '9007199254740991', '9007199254740992'],
  ...['9223372036854775807', '9223372036854775808', '18446744073709551616', '1'.repeat(400)],
  ...[
    'null',
    'true',
    '{}',
    '[]',
    '""',
    '"',
    '\\',
    '\\u0000',
    '__proto__',
    'constructor',
    'toString',
    'valueOf',
  ],
];

const LOOK_ALIKES: ReadonlyMap<string, string> = new Map([
  ...(
    [
      '—–',
      '-−',
      '+＋',
      ' \u00a0',
      '/∕',
      '=＝',
      'aа',
      'eе',
      'oо',
      'cс',
      '0Ο',
      '1l',
      '2２',
      '\n\u2028',
    ] as const
  ).map((pair): [string, string] => [pair.slice(0, 1), pair.slice(1)]),
]);

type Given = readonly [where: number, how: number, which: number];
type TextDamage = (text: string, given: Given, seeds: readonly string[], tokens: readonly string[]) => string;

const at = (list: { readonly length: number }, where: number): number =>
  list.length === 0 ? 0 : where % list.length;
const pick = <T>(list: readonly T[], which: number): T => list[at(list, which)] as T;
const replaced = (text: string, from: number, to: number, by: string): string =>
  text.slice(0, from) + by + text.slice(to);

/** One of the places that a pattern finds, by `where`. */
function found(text: string, pattern: RegExp, where: number): RegExpExecArray | undefined {
  const all = [...text.matchAll(pattern)];
  return all.length === 0 ? undefined : pick(all, where);
}

function onLines(change: (lines: string[], given: Given, seeds: readonly string[]) => void): TextDamage {
  return (text, given, seeds) => {
    const lines = text.split('\n');
    change(lines, given, seeds);
    return lines.join('\n');
  };
}

function on(pattern: RegExp, change: (match: string, how: number, which: number) => string): TextDamage {
  return (text, [where, how, which]) => {
    const match = found(text, pattern, where);
    if (match === undefined) return text;
    return replaced(text, match.index, match.index + match[0].length, change(match[0], how, which));
  };
}

const BASE64 = /[A-Za-z0-9+/]{4,}={0,2}/g;

const TEXT_DAMAGE: readonly TextDamage[] = [
  // a flipped bit of one character
  (text, [where, how]) => {
    const index = at(text, where);
    const flipped = String.fromCharCode(text.charCodeAt(index) ^ (1 << (how % 8)));
    return text === '' ? text : replaced(text, index, index + 1, flipped);
  },
  (text, [where]) => text.slice(0, at(text, where)),
  (text, [where]) => text.slice(at(text, where)),
  (text, [where, how]) => replaced(text, at(text, where), at(text, where) + (how % 40) + 1, ''),
  (text, [where, , which], _, tokens) =>
    replaced(text, at(text, where), at(text, where), pick(tokens, which)),
  (text, [where, how, which], _, tokens) =>
    replaced(text, at(text, where), at(text, where) + (how % 12), pick(tokens, which)),
  (text, [, , which], _, tokens) => text + pick(tokens, which),
  (text, [, , which], _, tokens) => pick(tokens, which) + text,
  // the beginning of this one, the end of another
  (text, [where, how, which], seeds) => {
    const other = pick(seeds, which);
    return text.slice(0, at(text, where)) + other.slice(at(other, how));
  },
  onLines((lines, [where]) => lines.splice(at(lines, where), 0, pick(lines, where))),
  onLines((lines, [where]) => lines.splice(at(lines, where), 1)),
  onLines((lines, [where, how]) => {
    const [a, b] = [at(lines, where), at(lines, how)];
    [lines[a], lines[b]] = [lines[b] ?? '', lines[a] ?? ''];
  }),
  // a line of another input, in the place of one, or besides
  onLines((lines, [where, how, which], seeds) =>
    lines.splice(at(lines, where), how % 2, pick(pick(seeds, which).split('\n'), how)),
  ),
  onLines((lines, [where, how]) => {
    const index = at(lines, where);
    lines[index] = pick(
      [`${lines[index]}\r`, `${lines[index]} `, ` ${lines[index]}`, `${lines[index]}\0`],
      how,
    );
  }),
  (text) => text.replaceAll('\n', '\r\n'),
  // a number, a little or very much another
  on(/\d+/g, (digits, how, which) =>
    pick(
      [
        String(BigInt(digits) + 1n),
        String(BigInt(digits) - 1n),
        `0${digits}`,
        `+${digits}`,
        `${digits}.0`,
        `${digits}e0`,
        String(BigInt(digits) + 2n ** 32n),
        String(BigInt(digits) + 2n ** 64n),
        String(how % 300),
        digits.repeat(1 + (how % 3)),
      ],
      which,
    ),
  ),
  // other spellings of the same base64
  on(BASE64, (encoded, how, which) => {
    const last = encoded.replace(/=+$/, '');
    const unused = String.fromCharCode(last.charCodeAt(last.length - 1) + 1 + (how % 3));
    return pick(
      [
        `${last.slice(0, -1)}${unused}${'='.repeat(encoded.length - last.length)}`,
        last,
        `${encoded}=`,
        encoded.replaceAll('+', '-').replaceAll('/', '_'),
        replaced(encoded, at(encoded, how), at(encoded, how), ' '),
        `${encoded}AAAA`,
      ],
      which,
    );
  }),
  // other bytes in the same base64, so that what is wrong is only what is said
  on(BASE64, (encoded, how, which) => {
    const bytes = Buffer.from(encoded, 'base64');
    if (bytes.length > 0) bytes[at(bytes, how)] = (bytes[at(bytes, how)] ?? 0) ^ (1 << (which % 8));
    return (which % 5 === 0 ? Buffer.concat([bytes, Buffer.from([how % 256])]) : bytes).toString('base64');
  }),
  on(/[0-9a-f]{8,}/g, (hex, how) => (how % 2 === 0 ? hex.toUpperCase() : hex.slice(0, -1))),
  on(/[\n +/=aceo012—-]/g, (character) => LOOK_ALIKES.get(character) ?? character),
  // a piece, many times over
  (text, [where, how, which]) => {
    const from = at(text, where);
    const piece = text.slice(from, from + 1 + (which % 60));
    return replaced(text, from, from, piece.repeat(how % 120));
  },
];

type ByteDamage = (bytes: Uint8Array, given: Given, seeds: readonly Uint8Array[]) => Uint8Array;

const spliced = (bytes: Uint8Array, from: number, to: number, by: Iterable<number>): Uint8Array =>
  Uint8Array.from([...bytes.subarray(0, from), ...by, ...bytes.subarray(to)]);

const BYTES: readonly (readonly number[])[] = [
  ...[
    [0],
    [1],
    [0x7f],
    [0x80],
    [0xff],
    [0x80, 0x00],
    [0x80, 0x80, 0x80, 0x80, 0x10],
    [0xff, 0xff, 0xff, 0xff, 0x0f],
  ],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  ...[
    [0x12, 0x00],
    [0x10, 0x00],
    [0x0b],
    [0x0c],
    [0x32, 0x00],
    [0x92, 0x80, 0x00],
    [0x7a, 0x00],
    [0xc3, 0x28],
  ],
];

const BYTE_DAMAGE: readonly ByteDamage[] = [
  (bytes, [where, how]) =>
    spliced(bytes, at(bytes, where), at(bytes, where) + 1, [
      (bytes[at(bytes, where)] ?? 0) ^ (1 << (how % 8)),
    ]),
  (bytes, [where, how]) => spliced(bytes, at(bytes, where), at(bytes, where) + 1, [how % 256]),
  (bytes, [where]) => bytes.subarray(0, at(bytes, where)),
  (bytes, [where]) => bytes.subarray(at(bytes, where)),
  (bytes, [where, how]) => spliced(bytes, at(bytes, where), at(bytes, where) + (how % 20), []),
  (bytes, [where, , which]) => spliced(bytes, at(bytes, where), at(bytes, where), pick(BYTES, which)),
  (bytes, [where, , which]) => spliced(bytes, at(bytes, where), at(bytes, where) + 1, pick(BYTES, which)),
  (bytes, [, , which]) => spliced(bytes, bytes.length, bytes.length, pick(BYTES, which)),
  (bytes, [where, how, which], seeds) => {
    const other = pick(seeds, which);
    return spliced(bytes, at(bytes, where), bytes.length, other.subarray(at(other, how)));
  },
  (bytes, [, , which], seeds) => spliced(bytes, bytes.length, bytes.length, pick(seeds, which)),
  (bytes, [where, how]) => {
    const from = at(bytes, where);
    const piece = bytes.subarray(from, from + 1 + (how % 40));
    return spliced(bytes, from, from, piece);
  },
];
