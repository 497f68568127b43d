/** The limit that SHA-256 sets: whole batch trees by the hasher of the server, one after the other, and nothing else. */
import { randomBytes } from 'node:crypto';
import { keepInFlight, type LoadEvents, type Measured, type Pacing } from '../src/cli/load/keep-in-flight.ts';
import { fastHasher } from '../src/merkle/fast.ts';
import { hashBatch } from '../src/merkle/index.ts';

export async function loadHashing(
  { leavesPerCall }: { readonly leavesPerCall: number },
  pacing: Pacing,
  events: LoadEvents,
): Promise<Measured> {
  const leaves = randomBytes(leavesPerCall * 32);
  const call = async () => {
    // The clock of a load is looked at in turns of the event loop.
    await new Promise(setImmediate);
    hashBatch(fastHasher, leaves);
  };
  return keepInFlight(pacing, call, events);
}
