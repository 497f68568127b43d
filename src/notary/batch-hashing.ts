import { type BatchTree, hashBatchInSlices, type TreeHasher } from '../merkle/index.ts';

/** Hashes a batch and lets the event loop serve others between slices of about a millisecond. */
export async function hashBatchPolitely(hasher: TreeHasher, packedLeaves: Uint8Array): Promise<BatchTree> {
  const slices = hashBatchInSlices(hasher, packedLeaves);
  for (;;) {
    const step = slices.next();
    if (step.done) return step.value;
    await new Promise(setImmediate);
  }
}
