import { type BatchTree, hashBatchInSlices, type TreeHasher } from '../merkle/index.ts';
import { cancelled } from './refusal.ts';

/**
 * Hashes a batch and lets the event loop serve others between slices of about a millisecond; a caller who has gone meanwhile
 * is not hashed for any longer.
 *
 * @throws NotaryError CANCELLED
 */
export async function hashBatchPolitely(
  hasher: TreeHasher,
  packedLeaves: Uint8Array,
  signal: AbortSignal,
): Promise<BatchTree> {
  const slices = hashBatchInSlices(hasher, packedLeaves);
  for (;;) {
    const step = slices.next();
    if (step.done) return step.value;
    await new Promise(setImmediate);
    if (signal.aborted) throw cancelled();
  }
}
