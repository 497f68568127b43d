import type { SealedBatch } from './outbox.ts';

const LEAF_SIZE = 32;

/** The leaves of a batch by leaf index; views, not copies. */
export function leavesOf({
  packedLeaves,
  eventIds,
}: SealedBatch): { leaf: Uint8Array; eventId: string | undefined }[] {
  return eventIds.map((eventId, leafIndex) => ({
    leaf: packedLeaves.subarray(leafIndex * LEAF_SIZE, (leafIndex + 1) * LEAF_SIZE),
    eventId,
  }));
}

/** Halves a batch of two leaves or more; the halves are batches of their own. */
export function halve(batch: SealedBatch, newRequestId: () => string): [SealedBatch, SealedBatch] {
  const middle = Math.ceil(batch.sequences.length / 2);
  return [
    part(batch, 0, middle, newRequestId()),
    part(batch, middle, batch.sequences.length, newRequestId()),
  ];
}

function part(batch: SealedBatch, from: number, to: number, requestId: string): SealedBatch {
  return {
    requestId,
    etcdRevision: batch.etcdRevision,
    packedLeaves: batch.packedLeaves.subarray(from * LEAF_SIZE, to * LEAF_SIZE),
    sequences: batch.sequences.slice(from, to),
    eventIds: batch.eventIds.slice(from, to),
    enqueuedAtMs: batch.enqueuedAtMs,
  };
}

/** Puts a batch where its leaves belong among others that wait: what came first is sent first. */
export function insertByAge(waiting: SealedBatch[], batch: SealedBatch): void {
  const first = firstSequence(batch);
  const at = waiting.findLastIndex((other) => firstSequence(other) < first);
  waiting.splice(at + 1, 0, batch);
}

function firstSequence({ sequences }: SealedBatch): number {
  return sequences[0] ?? 0;
}
