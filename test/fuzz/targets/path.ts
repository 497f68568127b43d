import fc from 'fast-check';
import { fastHasher } from '../../../src/merkle/fast.ts';
import {
  MerkleError,
  portableHasher,
  verifyConsistency,
  verifyInclusion,
} from '../../../src/merkle/index.ts';
import { naiveConsistencyPath, naiveInclusionPath, naiveRoot } from '../../verify/naive-tree.ts';
import { asBytes, must, parsed, type Target } from '../target.ts';

const MOST = 40;
const ENTRIES = Array.from({ length: MOST }, (_, i) => Uint8Array.of(i));
const LEAF_HASHES = ENTRIES.map((entry) => portableHasher.leafHash(entry));
const FORKED = Array.from({ length: MOST + 1 }, (_, size) =>
  naiveRoot(ENTRIES.slice(0, size).map((entry) => Uint8Array.of(0xff, ...entry))),
);

/** Every true path, by what it is of. */
const PATHS = new Map<string, readonly Uint8Array[]>();
const inclusionPath = (index: number, size: number) =>
  remembered(`${index} in ${size}`, () => naiveInclusionPath(index, ENTRIES.slice(0, size)));
const consistencyPath = (first: number, second: number) =>
  remembered(`${first} to ${second}`, () => naiveConsistencyPath(first, ENTRIES.slice(0, second)));
const ROOTS = Array.from({ length: MOST + 1 }, (_, size) => naiveRoot(ENTRIES.slice(0, size)));

/** An inner hash for whatever a path may be made of, besides the right ones. */
const STRANGE = [
  ROOTS[0],
  ROOTS[7],
  LEAF_HASHES[3],
  new Uint8Array(31),
  new Uint8Array(33),
  new Uint8Array(0),
].map((hash) => hash ?? new Uint8Array(32));

/** Four numbers choose a true proof, each two that follow damage it. */
const inputs = fc
  .tuple(fc.nat(3), fc.nat(MOST), fc.nat(MOST), fc.array(fc.tuple(fc.nat(9), fc.nat(255)), { maxLength: 4 }))
  .map(([kind, a, b, damage]) => Uint8Array.from([kind, a, b, ...damage.flat()]));

/**
 * Paths and sizes that were tampered with never lead to a root that is known, except as the one true path. Both hashers agree.
 *
 * Seen red: without `sn !== 0` at the end (paths that are too short); with the first root of a consistency proof not compared.
 */
export const path: Target = {
  name: 'path',
  share: 14,
  open: () => ({
    inputs,
    check(input) {
      const [kind = 0, a = 0, b = 0, ...damage] = asBytes(input);
      const [least, most] = a < b ? [a, b] : [b, a];
      return kind % 4 === 0
        ? inclusion(least % MOST, most, damage)
        : consistency(least, most, damage, kind % 4);
    },
    growth: [{ name: 'a path of many hashes', from: 20_000, prepare: (n) => longPath(n) }],
  }),
};

function inclusion(index: number, size: number, damage: readonly number[]): boolean {
  if (index >= size || size > MOST) return false;
  const right = inclusionPath(index, size);
  const claimed = damaged({ first: index, second: size, path: right }, damage);
  const root = ROOTS[Number(claimed.second)] ?? STRANGE[0];
  const leafHash = LEAF_HASHES[index];
  if (leafHash === undefined || root === undefined) return false;
  const proof = { leafHash, index: claimed.first, size: claimed.second, path: claimed.path, root };
  if (!agreed((hasher) => verifyInclusion(hasher, proof))) return false;
  must(claimed.first === index, `index ${index} passed for ${claimed.first}`);
  const only = inclusionPath(index, claimed.second);
  must(sameHashes(claimed.path, only), `another path passed for index ${index} in ${claimed.second}`);
  return true;
}

/** @param fork 2: the first root, 3: the second is one of another history */
function consistency(first: number, second: number, damage: readonly number[], fork: number): boolean {
  if (second > MOST) return false;
  const right = consistencyPath(first, second);
  const claimed = damaged({ first, second, path: right }, damage);
  const firstRoot = (fork === 2 ? FORKED : ROOTS)[first];
  const secondRoot = (fork === 3 ? FORKED : ROOTS)[second];
  if (firstRoot === undefined || secondRoot === undefined) return false;
  const proof = {
    firstSize: claimed.first,
    secondSize: claimed.second,
    firstRoot,
    secondRoot,
    path: claimed.path,
  };
  if (!agreed((hasher) => verifyConsistency(hasher, proof))) return false;
  // Of nothing everything is an extension.
  must(fork < 2 || first === 0 || claimed.first === 0, `a fork passed from ${first} to ${second}`);
  // A path does not tell sizes apart whose trees it climbs alike; with the sizes that were signed it is the only one.
  if (claimed.first !== first || claimed.second !== second) return true;
  must(sameHashes(claimed.path, right), `another path passed from ${first} to ${second}`);
  return true;
}

function remembered(what: string, make: () => readonly Uint8Array[]): readonly Uint8Array[] {
  const known = PATHS.get(what) ?? make();
  PATHS.set(what, known);
  return known;
}

function agreed(verify: (hasher: typeof portableHasher) => void): boolean {
  const accepted = [portableHasher, fastHasher].map(
    (hasher) =>
      parsed(() => {
        verify(hasher);
        return true;
      }, MerkleError) === true,
  );
  must(accepted[0] === accepted[1], 'the portable hasher and the fast one disagree');
  return accepted[0] === true;
}

interface Claimed {
  readonly first: number;
  readonly second: number;
  readonly path: readonly Uint8Array[];
}

const NUMBERS = [-1, -0, 0.5, Number.NaN, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, Number.POSITIVE_INFINITY];

function damaged(proof: Claimed, [kind, how = 0, ...rest]: readonly number[]): Claimed {
  if (kind === undefined) return proof;
  const { first, second } = proof;
  const hashes: Uint8Array[] = proof.path.map((hash) => Uint8Array.from(hash));
  const at = hashes.length === 0 ? 0 : how % hashes.length;
  const hash = hashes[at];
  const next = (changed: Partial<Claimed>) => damaged({ first, second, path: hashes, ...changed }, rest);
  switch (kind % 10) {
    case 0:
      if (hash !== undefined) hash[how % 32] = (hash[how % 32] ?? 0) ^ (1 << (how % 8));
      return next({});
    case 1:
      hashes.splice(at, 1);
      return next({});
    case 2:
      hashes.splice(at, 0, STRANGE[how % STRANGE.length] ?? new Uint8Array(32));
      return next({});
    case 3:
      hashes.push(STRANGE[how % STRANGE.length] ?? new Uint8Array(32));
      return next({});
    case 4:
      hashes.reverse();
      return next({});
    case 5:
      return next({ first: how % (MOST + 1) });
    case 6:
      return next({ second: how % (MOST + 1) });
    case 7:
      return next({ first: NUMBERS[how % NUMBERS.length] ?? 0 });
    case 8:
      return next({ second: NUMBERS[how % NUMBERS.length] ?? 0 });
    default:
      if (hash !== undefined) hashes.push(hash);
      return next({});
  }
}

function sameHashes(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((hash, i) => Buffer.compare(hash, b[i] ?? new Uint8Array()) === 0);
}

function longPath(count: number): () => void {
  const hashes = Array.from({ length: count }, () => new Uint8Array(32));
  const proof = {
    firstSize: 3,
    secondSize: 2 ** 53 - 1,
    firstRoot: hashes[0]!,
    secondRoot: hashes[0]!,
    path: hashes,
  };
  return () => void parsed(() => verifyConsistency(portableHasher, proof), MerkleError);
}
