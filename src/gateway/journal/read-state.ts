import type { DeadLetter, SealedBatch, UnanchoredLeaf } from '../outbox.ts';
import type { JournalBatch, JournalState } from './journal-state.ts';
import { LEAF } from './leaf-slabs.ts';
import { LEAF_BYTES } from './record-frames.ts';

/** The batch as it is sent: a copy. */
export function sealedBatchOf({ leaves }: JournalState, batch: JournalBatch): SealedBatch {
  const sequences = [...leaves.within(batch.runs)];
  const packedLeaves = new Uint8Array(sequences.length * LEAF_BYTES);
  const eventIds: (string | undefined)[] = [];
  let enqueuedAtMs = Number.POSITIVE_INFINITY;
  for (const [index, sequence] of sequences.entries()) {
    packedLeaves.set(leaves.leaf(sequence), index * LEAF_BYTES);
    eventIds.push(textOf(leaves.eventId(sequence)));
    enqueuedAtMs = Math.min(enqueuedAtMs, leaves.enqueuedAtMs(sequence));
  }
  const { requestId, etcdRevision } = batch;
  return { requestId, etcdRevision, packedLeaves, sequences, eventIds, enqueuedAtMs };
}

export function deadLetterOf(
  { leaves }: JournalState,
  { requestId, runs }: JournalBatch,
  { refusal, atMs }: NonNullable<JournalBatch['burial']>,
): DeadLetter {
  const buried = [...leaves.within(runs)].map((sequence) => ({
    leaf: leaves.leaf(sequence).slice(),
    eventId: textOf(leaves.eventId(sequence)),
  }));
  return { id: requestId, refusal, buriedAtMs: atMs, leaves: buried };
}

const STATES = { [LEAF.queued]: 'queued', [LEAF.sealed]: 'sealed', [LEAF.dead]: 'dead' } as const;

export function unanchoredOf({ leaves }: JournalState, sequence: number): UnanchoredLeaf {
  const state = leaves.stateOf(sequence);
  return {
    leaf: leaves.leaf(sequence).slice(),
    eventId: textOf(leaves.eventId(sequence)),
    state: state === LEAF.absent ? 'queued' : STATES[state],
    enqueuedAtMs: leaves.enqueuedAtMs(sequence),
  };
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined
    ? undefined
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
}
