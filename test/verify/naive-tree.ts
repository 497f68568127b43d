// RFC 6962 section 2.1 as it is written there, over node:crypto: independent of src/merkle, slow, and obviously right.

import { createHash } from 'node:crypto';

function sha256(...parts: (Uint8Array | number[])[]): Uint8Array {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(Uint8Array.from(part));
  return new Uint8Array(hash.digest());
}

function largestPowerOfTwoBelow(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

export function naiveRoot(entries: readonly Uint8Array[]): Uint8Array {
  if (entries.length === 0) return sha256();
  if (entries.length === 1) return sha256([0], entries[0]!);
  const k = largestPowerOfTwoBelow(entries.length);
  return sha256([1], naiveRoot(entries.slice(0, k)), naiveRoot(entries.slice(k)));
}

export function naiveInclusionPath(m: number, entries: readonly Uint8Array[]): Uint8Array[] {
  if (entries.length <= 1) return [];
  const k = largestPowerOfTwoBelow(entries.length);
  return m < k
    ? [...naiveInclusionPath(m, entries.slice(0, k)), naiveRoot(entries.slice(k))]
    : [...naiveInclusionPath(m - k, entries.slice(k)), naiveRoot(entries.slice(0, k))];
}

export function naiveConsistencyPath(m: number, entries: readonly Uint8Array[]): Uint8Array[] {
  return m === 0 || m === entries.length ? [] : subproof(m, entries, true);
}

function subproof(m: number, entries: readonly Uint8Array[], whole: boolean): Uint8Array[] {
  if (m === entries.length) return whole ? [] : [naiveRoot(entries)];
  const k = largestPowerOfTwoBelow(entries.length);
  return m <= k
    ? [...subproof(m, entries.slice(0, k), whole), naiveRoot(entries.slice(k))]
    : [...subproof(m - k, entries.slice(k), false), naiveRoot(entries.slice(0, k))];
}
