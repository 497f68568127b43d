import type { SealedBatch } from '../outbox.ts';
import type { Row } from './database.ts';

/** The columns of a batch, as {@link readBatch} needs them: all text, whatever parsers the process has set. */
export const BATCH_COLUMNS = `request_id::text AS request_id, etcd_revision::text AS etcd_revision,
encode(leaves, 'hex') AS leaves, array_to_json(sequences)::text AS sequences, array_to_json(event_ids)::text AS event_ids,
${epochMs('enqueued_at')} AS enqueued_at_ms`;

/** A time as text that {@link readMs} reads. */
export function epochMs(time: string): string {
  return `floor(extract(epoch FROM ${time}) * 1000)::bigint::text`;
}

export function readMs(text: unknown): number | undefined {
  return text === null || text === undefined ? undefined : Number(text);
}

export function readBatch(row: Row): SealedBatch {
  const leaves = Buffer.from(String(row.leaves), 'hex');
  const eventIds = JSON.parse(String(row.event_ids)) as (string | null)[];
  return {
    requestId: String(row.request_id),
    etcdRevision: BigInt(String(row.etcd_revision)),
    packedLeaves: new Uint8Array(leaves.buffer, leaves.byteOffset, leaves.byteLength),
    sequences: JSON.parse(String(row.sequences)) as number[],
    eventIds: eventIds.map((eventId) => eventId ?? undefined),
    enqueuedAtMs: Number(row.enqueued_at_ms),
  };
}
