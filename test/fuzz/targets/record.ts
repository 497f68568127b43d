import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  formatAnchorRecord,
  formatSuccessionRecord,
  type ParsedRecord,
  parseRecord,
  RecordError,
} from '../../../src/record/index.ts';
import { anchorRecord, successionRecord } from '../../record/arbitrary-record.ts';
import { LOGS } from '../honest-log.ts';
import { damagedBytes, damagedText } from '../mutation.ts';
import { asBytes, must, parsed, type Target } from '../target.ts';

const GOLDEN = ['anchor-record.json', 'anchor-record-minimal.json', 'succession-record.json'].map((name) =>
  readFileSync(join(import.meta.dirname, '../../golden', name)),
);
const SEEDS = [
  ...LOGS.flatMap(({ entries }) => entries),
  ...GOLDEN,
  Buffer.from('{"type":"something@v9","value":[1,1e+21,"\\u0001"]}'),
  Buffer.from('{"a":{"b":[{}]},"type":""}'),
];
const TEXTS = SEEDS.map((seed) => Buffer.from(seed).toString()).flatMap((text, i) => [
  text,
  // Times that Date.parse takes for others.
  text.replace(
    /"created_at":"[^"]*"/,
    `"created_at":"${i % 2 === 0 ? '2025-02-30T00' : '2025-01-31T24'}:00:00.000Z"`,
  ),
]);
const TOKENS = [
  '"type":"quartermaster.dev/anchor@v1"',
  '"__proto__":1,',
  '"toJSON":"x",',
  '"leaf_count":"4194304"',
  '1e400',
  '\\ud800',
];

/**
 * A record that is accepted is written again byte for byte: the values that are read are all that the bytes say.
 *
 * Seen red: without the comparison with the canonical form (duplicate keys, white space); with times read by `Date.parse` alone;
 * with integers read by any digits.
 */
export const record: Target = {
  name: 'record',
  share: 16,
  open: () => ({
    inputs: fc.oneof(
      { weight: 4, arbitrary: damagedText(TEXTS, TOKENS).map((text) => new Uint8Array(Buffer.from(text))) },
      { weight: 2, arbitrary: damagedBytes(SEEDS) },
      { weight: 1, arbitrary: fc.json({ maxDepth: 3 }).map((text) => new Uint8Array(Buffer.from(text))) },
      { weight: 1, arbitrary: anchorRecord.map(formatAnchorRecord) },
      { weight: 1, arbitrary: successionRecord.map(formatSuccessionRecord) },
    ),
    check(input) {
      const bytes = asBytes(input);
      const read = parsed(() => parseRecord(bytes), RecordError);
      if (read === undefined) return false;
      must(Buffer.compare(written(read), bytes) === 0, 'accepted a spelling that is not written again');
      return true;
    },
    growth: [
      { name: 'a record of nested arrays', from: 100_000, prepare: (n) => reading(`{"a":${'['.repeat(n)}`) },
      {
        name: 'a record of many members',
        from: 20_000,
        prepare: (n) => reading(`{${'"a":1,'.repeat(n)}"b":1}`),
      },
      { name: 'a record of many digits', from: 100_000, prepare: (n) => reading(`{"a":${'1'.repeat(n)}}`) },
      {
        name: 'a record at its limit',
        from: 200,
        prepare: (n) => reading(`{"a":${'['.repeat(n / 2)}${']'.repeat(n / 2)}}`),
      },
    ],
  }),
};

/** By the writer of its kind where nothing is unknown, else by the rules of RFC 8785 in their plainest form. */
function written(read: ParsedRecord): Uint8Array {
  if (read.unknownFields.size === 0 && read.kind === 'anchor') return formatAnchorRecord(read);
  if (read.unknownFields.size === 0 && read.kind === 'succession') return formatSuccessionRecord(read);
  const known =
    read.kind === 'unknown'
      ? { type: read.type }
      : (JSON.parse(
          Buffer.from(
            read.kind === 'anchor' ? formatAnchorRecord(read) : formatSuccessionRecord(read),
          ).toString(),
        ) as Record<string, unknown>);
  return Buffer.from(sorted([...Object.entries(known), ...read.unknownFields]));
}

function sorted(members: readonly (readonly [string, unknown])[]): string {
  const inOrder = [...members].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${inOrder.map(([name, value]) => `${JSON.stringify(name)}:${plain(value)}`).join(',')}}`;
}

function plain(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(plain).join(',')}]`;
  if (typeof value === 'object' && value !== null) return sorted(Object.entries(value));
  return JSON.stringify(value);
}

function reading(text: string): () => void {
  const bytes = Buffer.from(text);
  return () => void parsed(() => parseRecord(bytes), RecordError);
}
