import type { Evidence } from './delivery.ts';

/** Everything that a person needs to show what the notary did, as JSON; bytes are base64. Holds digests, no events. */
export function formatEvidence(
  atMs: number,
  code: string,
  message: string,
  { call, answer }: Evidence,
): string {
  return JSON.stringify(
    { type: 'quartermaster.dev/evidence@v1', at: new Date(atMs).toISOString(), code, message, call, answer },
    (_key, value: unknown) => {
      if (typeof value === 'bigint') return value.toString();
      if (!(value instanceof Uint8Array)) return value;
      return Buffer.from(value.buffer, value.byteOffset, value.length).toString('base64');
    },
    2,
  );
}
