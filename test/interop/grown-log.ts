import { leavesNamed, vkeyOf } from '../integration/careful-caller.ts';
import { ORIGIN_PREFIX } from '../integration/notary-under-test.ts';
import type { ServerProcess } from '../integration/server-process.ts';

/** One batch, as it was sent and as it was answered. */
export interface Batch {
  readonly leaves: readonly Uint8Array[];
  readonly anchorId: string;
  /** the log's entry */
  readonly record: Uint8Array;
}

/** A log that grew by one entry at a time, so that each of its sizes is a committed head. */
export interface GrownLog {
  readonly clusterId: string;
  readonly origin: string;
  /** Derived from the seed, not told by the server. */
  readonly vkey: string;
  readonly batches: readonly Batch[];
  /** The signed note of each size, from 0. */
  readonly checkpoints: readonly string[];
}

/** @param leafCounts of the batches, in order */
export async function growLog(server: ServerProcess, leafCounts: readonly number[]): Promise<GrownLog> {
  const { cluster } = await server.registry.createCluster({ displayName: 'interop' });
  const { clusterId } = cluster!;
  const checkpoints = [(await server.notary.getCheckpoint({ clusterId })).checkpoint];
  const batches: Batch[] = [];
  for (const [logIndex, leafCount] of leafCounts.entries()) {
    const packedLeaves = leavesNamed(`batch ${logIndex}`, leafCount);
    const answer = await server.notary.createAnchor({ clusterId, packedLeaves });
    const leaves = Array.from({ length: leafCount }, (_, i) => packedLeaves.subarray(i * 32, i * 32 + 32));
    batches.push({ leaves, anchorId: answer.anchorId, record: answer.record });
    checkpoints.push(answer.checkpoint);
  }
  return {
    clusterId,
    origin: `${ORIGIN_PREFIX}/${clusterId}`,
    vkey: await vkeyOf(server.seed, clusterId),
    batches,
    checkpoints,
  };
}
