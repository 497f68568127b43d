import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { canonicalEvent } from '../../src/verify/event-leaf.ts';
import { EVENT_COMMITMENT_TYPE, hashEvent, leafOf, SALT_SIZE } from '../../src/verify/index.ts';

// Computed by test/golden/make_golden.py and checked by test/golden/check, neither of which is our code.
const events: readonly { json: string; salt: string; canonical: string; leaf: string; hash: string }[] =
  JSON.parse(readFileSync(new URL('../golden/events.json', import.meta.url), 'utf8'));
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');
const unhex = (value: string) => new Uint8Array(Buffer.from(value, 'hex'));
const salt = unhex('00'.repeat(16));

// Red when the tag, a line end, the case of the hex digits or the order of salt and event changes.
describe.each(events)('the event $canonical', ({ json, salt, canonical, leaf, hash }) => {
  const event = JSON.parse(json);

  test('has the canonical form, the leaf and the hash that Python computed', () => {
    expect(canonicalEvent(event)).toBe(canonical);
    expect(hex(leafOf(event, unhex(salt)))).toBe(leaf);
    expect(hex(hashEvent(event))).toBe(hash);
  });

  test('has another leaf under every salt that differs in one bit', () => {
    const leaves = new Set([leaf]);
    for (let bit = 0; bit < 8 * SALT_SIZE; bit++) {
      const other = unhex(salt);
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      leaves.add(hex(leafOf(event, other)));
    }
    expect(leaves.size).toBe(8 * SALT_SIZE + 1);
  });
});

test('the first line is what is documented, and can begin no JSON and no Merkle hash', () => {
  expect(EVENT_COMMITMENT_TYPE).toBe('quartermaster.dev/event@v1');
});

// Red without the check of the salt's length: a longer salt could then take over the beginning of another event.
test.each([0, 15, 17, 32])('a salt of %i bytes is refused', (length) => {
  expect(() => leafOf({}, new Uint8Array(length))).toThrow(
    expect.objectContaining({ code: 'BAD_EXPECTED', message: 'salt must be 16 bytes' }),
  );
});

test('a salt that is no bytes is refused', () => {
  expect(() => leafOf({}, '0123456789abcdef' as unknown as Uint8Array)).toThrow('salt must be 16 bytes');
});

test('an event that JSON cannot say is what the caller expects wrongly', () => {
  const expected = {
    name: 'VerificationError',
    code: 'BAD_EXPECTED',
    message: expect.stringContaining('event.at'),
  };
  expect(() => leafOf({ at: new Date(0) }, salt)).toThrow(expect.objectContaining(expected));
  expect(() => hashEvent({ at: undefined })).toThrow(expect.objectContaining(expected));
});

test.each([null, undefined, 'text', 7])('%s is no event', (event) => {
  expect(() => hashEvent(event as unknown as object)).toThrow('event must be an object');
});
