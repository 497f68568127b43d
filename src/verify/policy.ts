import { portableHasher, type TreeHasher } from '../merkle/index.ts';
import {
  ED25519,
  type Ed25519Verifier,
  formatVkey,
  NoteError,
  parseVkey,
  type VerifierKey,
  verifyEd25519,
} from '../note/index.ts';
import { VerificationError } from './error.ts';

/**
 * Whom to believe. An object, so that witnesses and their quorum can be added to it without changing what it means now: at
 * least one pinned key of the checkpoint's own log has signed, and no pinned key's signature is bad.
 */
export interface Policy {
  /** Pinned verifier keys, got out of band. Several of one name are a rotation, several names are several logs. */
  readonly logKeys: readonly (VerifierKey | string)[];
}

/** Faster implementations with the same answers, where the platform has them. */
export interface VerifyOptions {
  readonly hasher?: TreeHasher;
  readonly verifyEd25519?: Ed25519Verifier;
}

/** What the checks of this layer share: the pinned keys, read once, and the implementations. */
export interface Verifier {
  readonly keys: readonly VerifierKey[];
  readonly hasher: TreeHasher;
  readonly verifyEd25519: Ed25519Verifier;
}

/** @throws {VerificationError} BAD_POLICY */
export function readPolicy(policy: Policy, options: VerifyOptions): Verifier {
  if (policy.logKeys.length === 0) throw new VerificationError('BAD_POLICY', 'the policy pins no log key');
  return {
    keys: policy.logKeys.map(readKey),
    hasher: options.hasher ?? portableHasher,
    verifyEd25519: options.verifyEd25519 ?? verifyEd25519,
  };
}

function readKey(key: VerifierKey | string): VerifierKey {
  let read: VerifierKey;
  try {
    read = parseVkey(typeof key === 'string' ? key : formatVkey(key));
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new VerificationError('BAD_POLICY', `a pinned key is not usable: ${error.message}`, error);
  }
  // A key that is pinned and then ignored would be worse than none.
  if (read.type !== ED25519) {
    throw new VerificationError('BAD_POLICY', `a log key of type ${read.type} cannot be verified here`);
  }
  return read;
}
