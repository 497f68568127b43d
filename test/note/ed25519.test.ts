import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { publicKeyEd25519, signEd25519, verifyEd25519 } from '../../src/note/index.ts';
import { expectRefusal } from './refusal.ts';

const unhex = (value: string) => new Uint8Array(Buffer.from(value, 'hex'));
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const GROUP_ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;

describe('Ed25519', () => {
  test.each([
    [
      '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
      'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
      '',
      'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
    ],
    [
      '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
      '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
      '72',
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    ],
  ])('the vector of RFC 8032 section 7.1 with seed %s holds', (seed, publicKey, message, signature) => {
    expect(hex(publicKeyEd25519(unhex(seed)))).toBe(publicKey);
    expect(hex(signEd25519(unhex(seed), unhex(message)))).toBe(signature);
    expect(verifyEd25519(unhex(signature), unhex(message), unhex(publicKey))).toBe(true);
  });

  test('signs as OpenSSL does, and each verifies the other', () => {
    const seeds = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(seeds, fc.uint8Array({ maxLength: 300 }), (seed, message) => {
        const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
        const signature = signEd25519(seed, message);
        expect(hex(signature)).toBe(sign(null, message, key).toString('hex'));
        expect(verify(null, message, createPublicKey(key), signature)).toBe(true);
        expect(verifyEd25519(signature, message, publicKeyEd25519(seed))).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test('every single-bit damage of a signature is refused, and so is another message or key', () => {
    const seed = new Uint8Array(32).fill(3);
    const message = new TextEncoder().encode('a head');
    const publicKey = publicKeyEd25519(seed);
    const signature = signEd25519(seed, message);
    for (let bit = 0; bit < 512; bit++) {
      const damaged = Uint8Array.from(signature);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      expect(verifyEd25519(damaged, message, publicKey)).toBe(false);
    }
    expect(verifyEd25519(signature, new TextEncoder().encode('a heaD'), publicKey)).toBe(false);
    expect(verifyEd25519(signature, message, publicKeyEd25519(new Uint8Array(32).fill(4)))).toBe(false);
  });

  test('a second signature made by adding the group order is refused', () => {
    const seed = new Uint8Array(32).fill(3);
    const signature = signEd25519(seed, new Uint8Array(1));
    let scalar = BigInt(`0x${hex(signature.slice(32).reverse())}`) + GROUP_ORDER;
    const malleated = Uint8Array.from(signature);
    for (let index = 32; index < 64; index++, scalar >>= 8n) malleated[index] = Number(scalar & 0xffn);
    expect(scalar).toBe(0n);
    expect(verifyEd25519(malleated, new Uint8Array(1), publicKeyEd25519(seed))).toBe(false);
  });

  // Seen red with zip215: true: under a key of small order one signature is valid for every message.
  test('a public key of small order, and one that is not in canonical form, verify nothing', () => {
    const signature = new Uint8Array(64);
    signature[0] = 1;
    for (const publicKey of [
      `01${'00'.repeat(31)}`,
      '00'.repeat(32),
      `ec${'ff'.repeat(30)}7f`,
      `ee${'ff'.repeat(30)}7f`,
      `01${'00'.repeat(30)}80`,
      'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    ]) {
      for (let message = 0; message < 16; message++) {
        expect(verifyEd25519(signature, Uint8Array.of(message), unhex(publicKey))).toBe(false);
      }
    }
  });

  test('wrong lengths verify nothing and sign nothing', () => {
    const seed = new Uint8Array(32).fill(3);
    const signature = signEd25519(seed, new Uint8Array());
    expect(verifyEd25519(signature.subarray(1), new Uint8Array(), publicKeyEd25519(seed))).toBe(false);
    expect(verifyEd25519(signature, new Uint8Array(), new Uint8Array(31))).toBe(false);
    expectRefusal(() => signEd25519(new Uint8Array(31), new Uint8Array()), 'BAD_ARGUMENT');
    expectRefusal(() => publicKeyEd25519(new Uint8Array(64)), 'BAD_ARGUMENT');
  });
});
