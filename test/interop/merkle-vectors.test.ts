import { beforeAll, describe, expect, test } from '@jest/globals';
import { fastHasher } from '../../src/merkle/fast.ts';
import {
  MerkleError,
  portableHasher,
  type TreeHasher,
  verifyConsistency,
  verifyInclusion,
} from '../../src/merkle/index.ts';
import { type ConsistencyVector, type Vector, vectorsOfMerkleModule } from './merkle-vectors.ts';

// Our verifiers on every proof, good or forged, with which github.com/transparency-dev/merkle tests its own.
// Seen red: without the promotion of nodes that have no sibling; with the path of a trivial consistency proof not looked at; with
// the second root not compared. (That the first one is compared these vectors do not notice; test/merkle does.)

let vectors: readonly Vector[];
beforeAll(async () => {
  vectors = await vectorsOfMerkleModule();
});

describe.each([
  ['the portable hasher', portableHasher],
  ['the fast hasher', fastHasher],
])('the vectors of the merkle module, with %s', (_, hasher) => {
  test('none is missing', () => {
    const count = (verifier: Vector['verifier'], accepted: boolean) =>
      vectors.filter((vector) => vector.verifier === verifier && vector.accepted === accepted).length;
    // Of the version in go/go.mod.
    expect({
      inclusion: [count('inclusion', true), count('inclusion', false)],
      consistency: [count('consistency', true), count('consistency', false)],
    }).toEqual({ inclusion: [42, 92], consistency: [173, 89] });
  });

  test('what it refuses we refuse, for a reason of ours', () => {
    for (const vector of vectors.filter(({ accepted }) => !accepted)) {
      expect(() => verify(hasher, vector)).toThrow(MerkleError);
    }
  });

  test('what it accepts we accept, but for roots that are no hashes, which it does not look at in trivial proofs', () => {
    const accepted = vectors.filter((vector) => vector.accepted);
    const withoutHashes = accepted.filter(hasNoHashes);
    for (const vector of accepted.filter((vector) => !hasNoHashes(vector))) verify(hasher, vector);

    expect(withoutHashes.map(({ firstSize, secondSize }) => [firstSize, secondSize])).toEqual([
      [0, 0],
      [0, 1],
      [1, 1],
    ]);
    for (const vector of withoutHashes) {
      expect(() => verify(hasher, vector)).toThrow(expect.objectContaining({ code: 'BAD_HASH' }));
      // The same claims about roots that are.
      const secondRoot = vector.secondSize === 0 ? EMPTY : SOME;
      const firstRoot = vector.firstSize === 0 ? EMPTY : SOME;
      verify(hasher, { ...vector, firstRoot, secondRoot });
    }
  });
});

/** SHA-256 of nothing, spelled out. */
const EMPTY = new Uint8Array(
  Buffer.from('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 'hex'),
);
const SOME = new Uint8Array(32).fill(7);

function hasNoHashes(vector: Vector): vector is ConsistencyVector {
  if (vector.verifier !== 'consistency') return false;
  return vector.firstRoot.length !== 32 || vector.secondRoot.length !== 32;
}

function verify(hasher: TreeHasher, vector: Vector): void {
  if (vector.verifier === 'inclusion') verifyInclusion(hasher, vector);
  else verifyConsistency(hasher, vector);
}
