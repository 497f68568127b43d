import { createHash } from 'node:crypto';

/**
 * The definitions of RFC 6962 section 2.1 written down as they stand there, recursive and slow, over node:crypto.
 * It shares no code with src/merkle: when the two agree, neither copied the other's mistake.
 */
const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

export const naiveLeafHash = (entry: Uint8Array): Uint8Array => sha256(Uint8Array.of(0), entry);

export const naiveNodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array =>
  sha256(Uint8Array.of(1), left, right);

/** The largest power of two smaller than n, for n > 1. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** MTH(D[n]), section 2.1. */
export function MTH(d: readonly Uint8Array[]): Uint8Array {
  if (d.length === 0) return sha256();
  if (d.length === 1) return naiveLeafHash(d[0]!);
  const k = split(d.length);
  return naiveNodeHash(MTH(d.slice(0, k)), MTH(d.slice(k)));
}

/** PATH(m, D[n]), section 2.1.1. */
export function PATH(m: number, d: readonly Uint8Array[]): Uint8Array[] {
  if (d.length === 1) return [];
  const k = split(d.length);
  return m < k
    ? [...PATH(m, d.slice(0, k)), MTH(d.slice(k))]
    : [...PATH(m - k, d.slice(k)), MTH(d.slice(0, k))];
}

/** PROOF(m, D[n]), section 2.1.2, for 0 < m <= n. */
export function PROOF(m: number, d: readonly Uint8Array[]): Uint8Array[] {
  return SUBPROOF(m, d, true);
}

function SUBPROOF(m: number, d: readonly Uint8Array[], b: boolean): Uint8Array[] {
  if (m === d.length) return b ? [] : [MTH(d)];
  const k = split(d.length);
  return m <= k
    ? [...SUBPROOF(m, d.slice(0, k), b), MTH(d.slice(k))]
    : [...SUBPROOF(m - k, d.slice(k), false), MTH(d.slice(0, k))];
}

/** The hash of the complete subtree (level, index), by MTH over its leaves. */
export const naiveSubtree =
  (d: readonly Uint8Array[]) =>
  (level: number, index: number): Uint8Array => {
    const leaves = d.slice(index * 2 ** level, (index + 1) * 2 ** level);
    if (leaves.length !== 2 ** level) throw new Error(`subtree (${level}, ${index}) is not complete`);
    return MTH(leaves);
  };

/** Entries that differ: entry i is the decimal digits of i. */
export const entriesOf = (n: number): Uint8Array[] =>
  Array.from({ length: n }, (_, i) => new TextEncoder().encode(`${i}`));
