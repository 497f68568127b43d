import { equalHashes, type TreeHasher, verifyConsistency } from '../merkle/index.ts';
import { type Checkpoint, NoteError, parseCheckpoint } from '../note/index.ts';
import type { ClusterLog } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import { sameHead } from './log-keys.ts';
import { notActive } from './refusal.ts';

/** Reads a caller's checkpoint. @throws NotaryError INVALID_ARGUMENT */
export function readCheckpoint(note: string, field: string): Checkpoint {
  try {
    return parseCheckpoint(note).checkpoint;
  } catch (error) {
    if (error instanceof NoteError) throw invalid(field, error.message, error);
    throw error;
  }
}

/**
 * Checks what a caller holds against the stored log, before anything is written: every gateway is a witness. Evidence is
 * news once: a log that is sealed is contradicted already, and the gateway that holds the evidence must be able to go on in
 * the successor.
 *
 * @returns whether the log contains the checkpoint; false only where it is sealed
 * @throws NotaryError INVALID_ARGUMENT; LOG_ROLLED_BACK or LOG_FORKED after the cluster's state was changed;
 *   CLUSTER_RECOVERING where it was changed before; LOG_CORRUPT
 */
export async function checkKnownCheckpoint(
  log: ClusterLog,
  note: string,
  checkpoint: Checkpoint,
  hasher: TreeHasher,
): Promise<boolean> {
  const { size } = checkpoint;
  // The usual case: the caller was last to write. What equals the newest head needs no signature to be believed.
  if (sameHead(log.tail.head, checkpoint)) return true;
  verifySignature(log, note, 'known_checkpoint');
  if (size > log.tail.head.size) await log.refresh();
  if (size > log.tail.head.size) {
    if (log.state === 'sealed') return false;
    if (log.state === 'recovering') throw notActive(log.cluster);
    const reason = `a caller holds a signed checkpoint of size ${size}, but the stored log ends at size ${log.tail.head.size}`;
    throw await log.declare('recovering', 'LOG_ROLLED_BACK', reason);
  }
  const root = await log.rootAt(size);
  if (equalHashes(root, checkpoint.root)) return true;
  // Before the log is called forked, the primary is read again, and it is shown that the root at this size belongs to it.
  await log.refresh();
  const { head } = log.tail;
  const recomputed = await log.rootAt(size);
  if (equalHashes(recomputed, checkpoint.root)) return true;
  if (log.state === 'sealed') return false;
  const path = await log.consistencyPath(size, head.size);
  try {
    verifyConsistency(hasher, {
      firstSize: size,
      secondSize: head.size,
      firstRoot: recomputed,
      secondRoot: head.root,
      path,
    });
  } catch (cause) {
    throw new NotaryError(
      'LOG_CORRUPT',
      `the stored records up to size ${size} do not hash to the stored head`,
      { cause },
    );
  }
  throw await log.declare(
    'sealed',
    'LOG_FORKED',
    `a caller holds a signed checkpoint with another root at size ${size}`,
  );
}

/** @throws NotaryError INVALID_ARGUMENT where no key of this log has signed, or not well */
export function verifySignature(log: ClusterLog, note: string, field: string): void {
  try {
    log.keys.verify(note);
  } catch (error) {
    if (error instanceof NoteError)
      throw invalid(field, `not signed by ${log.cluster.origin}: ${error.message}`, error);
    throw error;
  }
}

function invalid(field: string, description: string, cause: unknown): NotaryError {
  return new NotaryError('INVALID_ARGUMENT', `${field}: ${description}`, {
    cause,
    violations: [{ field, description }],
  });
}
