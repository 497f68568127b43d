import { describe, expect, test } from '@jest/globals';
import canonicalize from 'canonicalize';
import fc from 'fast-check';
import {
  formatAnchorRecord,
  formatSuccessionRecord,
  MAX_RECORD_BYTES,
  type ParsedRecord,
  parseRecord,
} from '../../src/record/index.ts';
import { anchorRecord } from './arbitrary-record.ts';
import { expectRefusal } from './refusal.ts';

const utf8 = (text: string) => new TextEncoder().encode(text);
const anchorFields = {
  anchor_id: '0195c3a0-1c00-7000-8000-000000000001',
  cluster_id: '7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70',
  created_at: '2025-03-23T12:00:01.100Z',
  etcd_revision: '0',
  leaf_count: '1',
  root: 'ab'.repeat(32),
  type: 'quartermaster.dev/anchor@v1',
};
const successionFields = {
  cluster_id: anchorFields.cluster_id,
  created_at: anchorFields.created_at,
  predecessor_id: '11111111-2222-4333-8444-555555555555',
  predecessor_origin: 'notary.example/old',
  predecessor_root: 'cd'.repeat(32),
  predecessor_size: '7',
  reason: 'restored',
  type: 'quartermaster.dev/succession@v1',
};
const record = (fields: object) => utf8(canonicalize(fields)!);
const good = canonicalize(anchorFields)!;

/** What a reading is written as, or undefined for a type without fields of its own. */
function rewritten(parsed: ParsedRecord): Uint8Array | undefined {
  if (parsed.kind === 'unknown' || parsed.unknownFields.size > 0) return undefined;
  return parsed.kind === 'anchor' ? formatAnchorRecord(parsed) : formatSuccessionRecord(parsed);
}

describe('reading records', () => {
  // Seen red when the canonical form was not compared.
  test('every single-bit damage of a record is refused, or read as what it now says', () => {
    fc.assert(
      fc.property(anchorRecord, fc.nat(), (value, position) => {
        const damaged = formatAnchorRecord(value);
        const bit = position % (damaged.length * 8);
        damaged[bit >> 3]! ^= 1 << (bit & 7);
        let parsed: ParsedRecord;
        try {
          parsed = parseRecord(damaged);
        } catch (error) {
          expect(error).toMatchObject({ name: 'RecordError' });
          return;
        }
        expect(parsed).not.toEqual({ kind: 'anchor', ...value, unknownFields: new Map() });
        const again = rewritten(parsed);
        if (again !== undefined) expect(again).toEqual(damaged);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ['white space', ` ${good}`],
    ['a newline at the end', `${good}\n`],
    ['another order of keys', JSON.stringify(Object.fromEntries(Object.entries(anchorFields).reverse()))],
    ['a duplicate key', good.replace('{', '{"anchor_id":"0195c3a0-1c00-7000-8000-000000000001",')],
    ['a duplicate unknown key', good.replace('{', '{"a":"1","a":"1",')],
    ['an escape that is not needed', good.replace('anchor@v1', '\\u0061nchor@v1')],
    ['an escaped slash', good.replace('dev/', 'dev\\/')],
    ['an upper-case escape', good.replace('{', '{"a":"\\u001F",')],
    ['a lone surrogate', good.replace('{', '{"a":"\\ud800",')],
    ['a lone surrogate in a key', good.replace('{', '{"\\udc00":1,')],
    ['a number spelled otherwise', good.replace('{', '{"a":1.0,')],
    ['minus zero', good.replace('{', '{"a":-0,')],
    ['a number that overflows', good.replace('{', '{"a":1e999,')],
    ['a duplicate __proto__', good.replace('{', '{"__proto__":1,"__proto__":1,')],
  ])('a record with %s is refused as not canonical', (_, text) => {
    expectRefusal(() => parseRecord(utf8(text)), 'NOT_CANONICAL');
  });

  test('what is no UTF-8, no JSON or no object is refused', () => {
    expectRefusal(() => parseRecord(Uint8Array.of(0x7b, 0xff, 0x7d)), 'NOT_UTF8');
    expectRefusal(() => parseRecord(Uint8Array.of(0xed, 0xa0, 0x80)), 'NOT_UTF8');
    expectRefusal(() => parseRecord(utf8('')), 'NOT_JSON');
    expectRefusal(() => parseRecord(utf8(good.slice(0, -1))), 'NOT_JSON');
    expectRefusal(() => parseRecord(utf8(`\ufeff${good}`)), 'NOT_JSON');
    expectRefusal(() => parseRecord(utf8(good + good)), 'NOT_JSON');
    for (const text of ['null', '[]', '"x"', '1', 'true'])
      expectRefusal(() => parseRecord(utf8(text)), 'NOT_AN_OBJECT');
  });

  test('unknown fields are kept, even one called __proto__', () => {
    const bytes = utf8(good.replace('{', '{"__proto__":{"requestId":"x"},"a":[1,null,{"b":true}],'));
    const parsed = parseRecord(bytes);
    expect(parsed.kind).toBe('anchor');
    expect([...parsed.unknownFields.keys()]).toEqual(['__proto__', 'a']);
    expect(parsed.unknownFields.get('a')).toEqual([1, null, { b: true }]);
    expect(parsed).not.toHaveProperty('requestId');
    expect(({} as Record<string, unknown>).requestId).toBeUndefined();
  });

  test('an unknown type is an entry without leaves, a missing one is refused', () => {
    expect(parseRecord(record({ type: 'somebody.example/x', leaf_count: '1' }))).toEqual({
      kind: 'unknown',
      type: 'somebody.example/x',
      unknownFields: new Map([['leaf_count', '1']]),
    });
    expectRefusal(() => parseRecord(utf8('{}')), 'BAD_FIELD', 'type');
    expectRefusal(() => parseRecord(record({ ...anchorFields, type: 1 })), 'BAD_FIELD', 'type');
    expectRefusal(() => parseRecord(record({ ...anchorFields, type: ['x'] })), 'BAD_FIELD', 'type');
  });

  test('every field of an anchor record but request_id and submitter, and of a succession record, is obligatory', () => {
    for (const fields of [anchorFields, successionFields]) {
      expect(parseRecord(record(fields)).kind).not.toBe('unknown');
      for (const field of Object.keys(fields)) {
        expectRefusal(() => parseRecord(record({ ...fields, [field]: undefined })), 'BAD_FIELD', field);
        expectRefusal(() => parseRecord(record({ ...fields, [field]: null })), 'BAD_FIELD', field);
        expectRefusal(() => parseRecord(record({ ...fields, [field]: 5 })), 'BAD_FIELD', field);
        expectRefusal(() => parseRecord(record({ ...fields, [field]: {} })), 'BAD_FIELD', field);
      }
    }
  });

  test.each([
    ['anchor_id', anchorFields.anchor_id.toUpperCase()],
    ['anchor_id', `{${anchorFields.anchor_id}}`],
    ['cluster_id', anchorFields.cluster_id.replaceAll('-', '')],
    ['request_id', ''],
    ['request_id', null],
    ['request_id', anchorFields.cluster_id.toUpperCase()],
    ['submitter', ''],
    ['submitter', null],
    ['submitter', 'é'.repeat(129)],
    ['leaf_count', '0'],
    ['leaf_count', '01'],
    ['leaf_count', '+1'],
    ['leaf_count', '1 '],
    ['leaf_count', '4194305'],
    ['leaf_count', '99999999999999999999'],
    ['etcd_revision', '-1'],
    ['etcd_revision', ''],
    ['etcd_revision', '9223372036854775808'],
    ['root', 'AB'.repeat(32)],
    ['root', 'ab'.repeat(31)],
    ['root', `${'ab'.repeat(32)}00`],
    ['created_at', '2025-03-23T12:00:01Z'],
    ['created_at', '2025-03-23T12:00:01.1Z'],
    ['created_at', '2025-03-23T12:00:01.1000Z'],
    ['created_at', '2025-03-23T12:00:01.100+00:00'],
    ['created_at', '2025-03-23t12:00:01.100z'],
    ['created_at', '2025-03-23 12:00:01.100Z'],
    ['created_at', '2025-02-30T12:00:01.100Z'],
    ['created_at', '2025-03-23T24:00:00.000Z'],
    ['created_at', '2025-03-23T23:59:60.000Z'],
    ['created_at', '+002025-03-23T12:00:01.100Z'],
  ])('an anchor record whose %s is %j is refused', (field, value) => {
    expectRefusal(() => parseRecord(record({ ...anchorFields, [field]: value })), 'BAD_FIELD', field);
  });

  test.each([
    ['predecessor_origin', 'a b'],
    ['predecessor_origin', ''],
    ['predecessor_origin', 'é'.repeat(128)],
    ['predecessor_size', '9007199254740992'],
    ['predecessor_size', '-1'],
    ['predecessor_root', 'x'.repeat(64)],
    ['reason', 'a'.repeat(257)],
  ])('a succession record whose %s is %j is refused', (field, value) => {
    expectRefusal(() => parseRecord(record({ ...successionFields, [field]: value })), 'BAD_FIELD', field);
  });

  test('the edges of the calendar are read', () => {
    for (const time of ['0000-01-01T00:00:00.000Z', '9999-12-31T23:59:59.999Z', '2024-02-29T00:00:00.000Z']) {
      const parsed = parseRecord(record({ ...anchorFields, created_at: time }));
      expect(parsed).toMatchObject({ createdAtMs: Date.parse(time) });
    }
  });

  test('2,048 bytes are read, more are refused unread, and depth does not overflow the stack', () => {
    const padded = (bytes: number) => record({ ...anchorFields, zz: 'x'.repeat(bytes - good.length - 8) });
    expect(padded(MAX_RECORD_BYTES).length).toBe(MAX_RECORD_BYTES);
    expect(parseRecord(padded(MAX_RECORD_BYTES)).kind).toBe('anchor');
    expectRefusal(() => parseRecord(padded(MAX_RECORD_BYTES + 1)), 'TOO_LARGE');
    expectRefusal(() => parseRecord(new Uint8Array(100_000_000).fill(0x5b)), 'TOO_LARGE');
    const deep = utf8(`{"a":${'['.repeat(1000)}${']'.repeat(1000)},"type":"x"}`);
    expect(parseRecord(deep).kind).toBe('unknown');
    expectRefusal(() => parseRecord(utf8(`{"a":${'['.repeat(2000)}`)), 'NOT_JSON');
  });
});
