import { createHmac, hkdfSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { deriveKey, headMac, headMacMessage, seedId, verifyHeadMac } from '../../src/note/index.ts';
import { expectRefusal } from './refusal.ts';

const seed = new Uint8Array(32).fill(9);
const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });

describe('key derivation', () => {
  test("agrees with node:crypto's HKDF", () => {
    fc.assert(
      fc.property(
        hash,
        fc.constantFrom('log-ed25519' as const, 'head-mac' as const),
        fc.constantFrom('a', 'notary.example/é'),
        fc.integer({ min: 1 }),
        (master, purpose, origin, epoch) => {
          const expected = hkdfSync(
            'sha256',
            master,
            'quartermaster/v1',
            `${purpose}\n${origin}\n${epoch}`,
            32,
          );
          expect(deriveKey(master, purpose, origin, epoch)).toEqual(new Uint8Array(expected));
        },
      ),
    );
    const id = Buffer.from(hkdfSync('sha256', seed, 'quartermaster/v1', 'seed-id\n\n0', 32)).toString('hex');
    expect(seedId(seed)).toBe(id.slice(0, 16));
  });

  test('another seed, purpose, origin or epoch is another key', () => {
    const keys = [
      deriveKey(seed, 'log-ed25519', 'a', 1),
      deriveKey(seed, 'head-mac', 'a', 1),
      deriveKey(seed, 'log-ed25519', 'b', 1),
      deriveKey(seed, 'log-ed25519', 'a', 2),
      deriveKey(new Uint8Array(32), 'log-ed25519', 'a', 1),
    ];
    expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(keys.length);
  });

  test('a seed of another size, an epoch that is none and a bad origin are refused', () => {
    expectRefusal(() => deriveKey(new Uint8Array(31), 'head-mac', 'a', 1), 'BAD_ARGUMENT');
    expectRefusal(() => seedId(new Uint8Array(64)), 'BAD_ARGUMENT');
    for (const epoch of [0, -1, 1.5, Number.NaN, 2 ** 53]) {
      expectRefusal(() => deriveKey(seed, 'head-mac', 'a', epoch), 'BAD_ARGUMENT');
    }
    expectRefusal(() => deriveKey(seed, 'head-mac', 'a\n2', 1), 'BAD_NAME');
  });
});

describe('head macs', () => {
  const origin = 'notary.example/log';
  const root = new Uint8Array(32).fill(1);
  const prev = { size: 1, root: new Uint8Array(32).fill(2) };
  const key = deriveKey(seed, 'head-mac', origin, 1);

  test('the message spells the head and its predecessor, or dashes at genesis', () => {
    const spell = (head: Parameters<typeof headMacMessage>[0]) =>
      Buffer.from(headMacMessage(head)).toString();
    expect(spell({ origin, size: 0, root })).toBe(
      `quartermaster.dev/head@v1\n${origin}\n0\n${'01'.repeat(32)}\n-\n-\n`,
    );
    expect(spell({ origin, size: 3, root, prev })).toBe(
      `quartermaster.dev/head@v1\n${origin}\n3\n${'01'.repeat(32)}\n1\n${'02'.repeat(32)}\n`,
    );
  });

  test("agrees with node:crypto's HMAC", () => {
    fc.assert(
      fc.property(hash, fc.uint8Array(), (macKey, message) => {
        const expected = createHmac('sha256', macKey).update(message).digest('hex');
        expect(Buffer.from(headMac(macKey, message)).toString('hex')).toBe(expected);
      }),
    );
  });

  // Seen red when verifyHeadMac compared all bytes but the last.
  test('every single-bit damage of a mac, another head and another key are refused', () => {
    const message = headMacMessage({ origin, size: 3, root, prev });
    const mac = headMac(key, message);
    expect(verifyHeadMac(key, message, mac)).toBe(true);
    for (let bit = 0; bit < 256; bit++) {
      const damaged = Uint8Array.from(mac);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyHeadMac(key, message, damaged)).toBe(false);
    }
    expect(verifyHeadMac(key, message, mac.subarray(1))).toBe(false);
    expect(verifyHeadMac(key, message, new Uint8Array())).toBe(false);
    expect(verifyHeadMac(key, headMacMessage({ origin, size: 4, root, prev }), mac)).toBe(false);
    expect(verifyHeadMac(new Uint8Array(32), message, mac)).toBe(false);
  });

  test('malformed heads and keys are refused', () => {
    expectRefusal(() => headMacMessage({ origin, size: -1, root }), 'BAD_ARGUMENT');
    expectRefusal(() => headMacMessage({ origin, size: 1, root: root.subarray(1) }), 'BAD_ARGUMENT');
    expectRefusal(() => headMacMessage({ origin: 'a\nb', size: 1, root }), 'BAD_NAME');
    expectRefusal(() => headMac(new Uint8Array(16), root), 'BAD_ARGUMENT');
  });
});
