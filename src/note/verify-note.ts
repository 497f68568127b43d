import { bytesToHex } from '@noble/hashes/utils.js';
import { equalHashes as equalBytes } from '../merkle/index.ts';
import { type Ed25519Verifier, verifyEd25519 } from './ed25519.ts';
import { NoteError } from './error.ts';
import { type Note, parseNote, type SignatureLine } from './note.ts';
import { ED25519, type VerifierKey } from './vkey.ts';

export interface VerifyNoteOptions {
  /** a faster Ed25519 verification with the same answers; portable code otherwise */
  readonly verifyEd25519?: Ed25519Verifier;
}

export interface VerifiedSignature extends SignatureLine {
  readonly key: VerifierKey;
}

export interface VerifiedNote {
  readonly note: Note;
  /** at least one; each known key that signed, once, in the order of the note */
  readonly verified: readonly VerifiedSignature[];
}

/**
 * Verifies a note under the known keys (c2sp.org/signed-note, section Signatures). A key is known by its name and key ID
 * together; signatures of other keys are ignored, whatever their order and number. One bad signature of a known key rejects
 * the whole note, and at least one known key must have signed.
 *
 * @throws {NoteError} those of {@link parseNote}, and UNKNOWN_KEY, BAD_SIGNATURE, AMBIGUOUS_KEY, UNSUPPORTED_KEY_TYPE
 */
export function verifyNote(
  note: string | Note,
  known: readonly VerifierKey[],
  options: VerifyNoteOptions = {},
): VerifiedNote {
  const parsed = typeof note === 'string' ? parseNote(note) : note;
  const keys = indexKeys(known);
  const verify = options.verifyEd25519 ?? verifyEd25519;
  const message = new TextEncoder().encode(parsed.text);
  const verified = new Map<string, VerifiedSignature>();
  for (const line of parsed.signatures) {
    const id = identity(line);
    const key = keys.get(id);
    if (key === undefined) continue;
    const before = verified.get(id);
    // A line that is repeated a hundred times costs one verification; one that differs is verified again, and
    // rejects the note if it is bad.
    if (before !== undefined && equalBytes(before.signature, line.signature)) continue;
    if (line.signature.length !== 64 || !verify(line.signature, message, key.publicKey)) {
      throw new NoteError('BAD_SIGNATURE', `the signature of the known key ${id} is not valid for this text`);
    }
    if (before === undefined) verified.set(id, { ...line, key });
  }
  if (verified.size === 0) throw new NoteError('UNKNOWN_KEY', 'no known key has signed this note');
  return { note: parsed, verified: [...verified.values()] };
}

function indexKeys(known: readonly VerifierKey[]): ReadonlyMap<string, VerifierKey> {
  const keys = new Map<string, VerifierKey>();
  for (const key of known) {
    if (key.type !== ED25519) {
      // Ignoring it would turn a key that somebody relies on into one that need not sign correctly.
      throw new NoteError(
        'UNSUPPORTED_KEY_TYPE',
        `signatures of type ${key.type} (${key.name}) cannot be verified here`,
      );
    }
    const id = identity(key);
    const other = keys.get(id);
    if (other !== undefined && !equalBytes(other.publicKey, key.publicKey)) {
      throw new NoteError('AMBIGUOUS_KEY', `two different known keys are called ${id}`);
    }
    keys.set(id, key);
  }
  return keys;
}

/** Names hold no "+", so this is unambiguous. */
function identity({ name, keyId }: { readonly name: string; readonly keyId: Uint8Array }): string {
  return `${name}+${bytesToHex(keyId)}`;
}
