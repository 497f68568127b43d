import type { SignatureLine, VerifierKey } from '../note/index.ts';

/**
 * The signing port: a master seed in this process today, a key management service some day. Implementations keep keys to
 * themselves; callers see public keys, signatures and macs.
 */
export interface Signing {
  /** Names the key material without revealing it; stored beside each vkey. */
  readonly seedId: string;
  logKey(origin: string, epoch: number): Promise<LogSigner>;
  headMac(origin: string, epoch: number): Promise<HeadMac>;
}

/** Signs checkpoints of one origin. Called for committed heads only. */
export interface LogSigner {
  readonly key: VerifierKey;
  sign(noteText: string): Promise<SignatureLine>;
}

/** HMAC-SHA-256 over `headMacMessage`. */
export interface HeadMac {
  compute(message: Uint8Array): Uint8Array;
  /** In constant time. */
  verify(message: Uint8Array, mac: Uint8Array): boolean;
}
