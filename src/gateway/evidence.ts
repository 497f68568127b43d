import type { Evidence } from './delivery.ts';

/** Everything that a person needs to show what the notary did, as JSON; bytes are base64. Holds digests, no events. */
export function formatEvidence(atMs: number, code: string, message: string, evidence: Evidence): string {
  const at = new Date(atMs).toISOString();
  return JSON.stringify({ type: 'quartermaster.dev/evidence@v1', at, code, message, ...evidence }, asText, 2);
}

/** `this` has the value as it was: a Buffer, which what was received is, has become an object of its own by then. */
function asText(this: Readonly<Record<string, unknown>>, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  const original = this[key];
  if (!(original instanceof Uint8Array)) return value;
  return Buffer.from(original.buffer, original.byteOffset, original.length).toString('base64');
}
