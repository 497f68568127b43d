import { EMPTY_ROOT, equalHashes, MerkleError, portableHasher, verifyConsistency } from '../merkle/index.ts';
import {
  type Checkpoint,
  formatVkey,
  type Note,
  NoteError,
  parseCheckpoint,
  type VerifierKey,
  verifyNote,
} from '../note/index.ts';
import { VerificationError } from './error.ts';
import { type Policy, readPolicy, type Verifier, type VerifyOptions } from './policy.ts';
import { isPath } from './shape.ts';

/** A checkpoint whose signature has been checked. */
export interface VerifiedCheckpoint extends Checkpoint {
  /** the signed note, verbatim: what to keep, and to present as `known_checkpoint` */
  readonly checkpoint: string;
  /** the pinned verifier keys that have signed, at least one */
  readonly signers: readonly string[];
}

/** A checkpoint in its form. */
export interface ReadCheckpoint extends Checkpoint {
  readonly note: Note;
}

/** A checkpoint of a pinned log that is still to be verified, with that log's pinned keys. */
export interface OpenedCheckpoint extends ReadCheckpoint {
  readonly keys: readonly VerifierKey[];
}

/**
 * Verifies a checkpoint: its origin is the name of a pinned key, and that key has signed it.
 *
 * @param checkpoint a signed note, as the server sent it
 * @throws {VerificationError} BAD_POLICY, BAD_CHECKPOINT, ORIGIN_MISMATCH, UNKNOWN_KEY, BAD_SIGNATURE
 */
export function verifyCheckpoint(
  checkpoint: string,
  policy: Policy,
  options: VerifyOptions = {},
): VerifiedCheckpoint {
  const verifier = readPolicy(policy, options);
  return closeCheckpoint(checkpoint, openCheckpoint(checkpoint, verifier), verifier);
}

/** The form alone: nothing of it is to be believed. @throws {VerificationError} BAD_CHECKPOINT */
export function readCheckpoint(checkpoint: string): ReadCheckpoint {
  let opened: ReturnType<typeof parseCheckpoint>;
  try {
    opened = parseCheckpoint(checkpoint);
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    throw new VerificationError('BAD_CHECKPOINT', error.message, error);
  }
  const { size, root } = opened.checkpoint;
  if (size === 0 && !equalHashes(root, EMPTY_ROOT)) {
    throw new VerificationError(
      'BAD_CHECKPOINT',
      'a checkpoint of size 0 has another root than the empty tree',
    );
  }
  return { ...opened.checkpoint, note: opened.note };
}

/** The form, and that the origin is pinned. @throws {VerificationError} BAD_CHECKPOINT, ORIGIN_MISMATCH */
export function openCheckpoint(checkpoint: string, { keys }: Pick<Verifier, 'keys'>): OpenedCheckpoint {
  const read = readCheckpoint(checkpoint);
  const { origin } = read;
  // Only keys of this very name count: a key pinned for one log must not vouch for another.
  const keysOfLog = keys.filter((key) => key.name === origin);
  if (keysOfLog.length === 0) {
    throw new VerificationError(
      'ORIGIN_MISMATCH',
      `no pinned key is named ${JSON.stringify(origin.slice(0, 300))}`,
    );
  }
  return { ...read, keys: keysOfLog };
}

/** The signatures. @throws {VerificationError} UNKNOWN_KEY, BAD_SIGNATURE, BAD_POLICY */
export function closeCheckpoint(
  checkpoint: string,
  { note, keys, ...opened }: OpenedCheckpoint,
  { verifyEd25519 }: Pick<Verifier, 'verifyEd25519'>,
): VerifiedCheckpoint {
  try {
    const { verified } = verifyNote(note, keys, { verifyEd25519 });
    return { ...opened, checkpoint, signers: verified.map(({ key }) => formatVkey(key)) };
  } catch (error) {
    if (!(error instanceof NoteError)) throw error;
    switch (error.code) {
      case 'UNKNOWN_KEY':
        throw new VerificationError('UNKNOWN_KEY', `no pinned key of ${opened.origin} has signed`, error);
      case 'AMBIGUOUS_KEY':
        throw new VerificationError('BAD_POLICY', error.message, error);
      default:
        throw new VerificationError('BAD_SIGNATURE', error.message, error);
    }
  }
}

/**
 * Verifies that the log only grew between two of its checkpoints (RFC 9162 section 2.1.4.2).
 *
 * @param path 32 bytes each; empty where the older size is 0 or the sizes are equal
 * @throws {VerificationError} ORIGIN_MISMATCH, SIZE_SHRANK, CONSISTENCY_PATH
 */
export function verifyCheckpointConsistency(
  older: VerifiedCheckpoint,
  newer: VerifiedCheckpoint,
  path: readonly Uint8Array[],
  options: Pick<VerifyOptions, 'hasher'> = {},
): void {
  if (older.origin !== newer.origin) {
    throw new VerificationError('ORIGIN_MISMATCH', `${newer.origin} is another log than ${older.origin}`);
  }
  if (newer.size < older.size) {
    throw new VerificationError(
      'SIZE_SHRANK',
      `the log had ${older.size} entries, and now has ${newer.size}`,
    );
  }
  if (!isPath(path))
    throw new VerificationError('CONSISTENCY_PATH', 'the path is no list of hashes of 32 bytes');
  try {
    verifyConsistency(options.hasher ?? portableHasher, {
      firstSize: older.size,
      secondSize: newer.size,
      firstRoot: older.root,
      secondRoot: newer.root,
      path,
    });
  } catch (error) {
    if (!(error instanceof MerkleError)) throw error;
    throw new VerificationError(
      'CONSISTENCY_PATH',
      `the log at ${newer.size} is not shown to extend the log at ${older.size}: ${error.message}`,
      error,
    );
  }
}
