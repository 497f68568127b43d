// What OpenSSL does faster than portable code. Apart from the pure layers, whose ports it serves: browsers have no node:crypto.

import { createPublicKey, verify } from 'node:crypto';

/** DER of an RFC 8410 public key up to its 32 bytes. */
const SPKI_ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/** Ed25519 verification by OpenSSL, for `verifyNote`; the same answers as the portable code, faster. */
export function verifyEd25519Natively(
  signature: Uint8Array,
  message: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  const key = createPublicKey({ key: Buffer.concat([SPKI_ED25519, publicKey]), format: 'der', type: 'spki' });
  return verify(null, message, key, signature);
}
