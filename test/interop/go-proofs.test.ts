import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { flippedBits, flippedPaths, misshapenPaths } from '../merkle/damage.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { GoVerifiers, hex, unanimous, type Verdicts } from './go-verifiers.ts';
import { type GrownLog, growLog } from './grown-log.ts';

// golang.org/x/mod/sumdb/tlog and github.com/transparency-dev/merkle on the proofs of a running server. They hash the raw leaves
// and records themselves, and the roots that they compare with are those that Go computes from all entries.
// Seen red: with 0x02 before a leaf; with a consistency path in reverse; with an inclusion path that splits a whole tree at its
// own size.

/** Around every power of two and the 256 records of a stored node, for batches as for the log. */
const EDGES = [31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 257, 258];
const SMALL = Array.from({ length: 20 }, (_, i) => i);
const SIZES = [...SMALL, ...EDGES];
const LEAF_COUNTS = [...SIZES.slice(1), 300, 513, 1_000];
const ENTRIES = Math.max(...EDGES);

let database: TestDatabase;
let server: ServerProcess;
let verifiers: GoVerifiers;
let log: GrownLog;
/** The root of each size of the log, by Go, from the records alone. */
let roots: readonly Buffer[];
beforeAll(async () => {
  verifiers = await GoVerifiers.start();
  database = await openTestDatabase();
  server = await startServerProcess({ databaseUrl: database.databaseUrl });
  log = await growLog(
    server,
    Array.from({ length: ENTRIES }, (_, i) => LEAF_COUNTS[i] ?? 1),
  );
  roots = await rootsOf(log.batches.map(({ record }) => record));
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
  await verifiers.stop();
});

describe('inclusion, to Go', () => {
  test('every leaf of every batch is in the tree whose root the record names', async () => {
    let asked = 0;
    for (const { leaves, anchorId, record } of log.batches) {
      const root = await rootOf(leaves);
      expect(JSON.parse(Buffer.from(record).toString())).toMatchObject({
        root: hex(root),
        leaf_count: String(leaves.length),
      });
      const references = leaves.map((_, leafIndex) => ({ anchorId, leafIndex }));
      const { anchors } = await server.notary.batchGetInclusionProofs({
        clusterId: log.clusterId,
        references,
      });
      const questions = anchors[0]!.leaves.map(({ leafIndex, leafPath }) =>
        verifiers.inclusion({
          entry: leaves[leafIndex]!,
          index: leafIndex,
          size: leaves.length,
          path: leafPath,
          root,
        }),
      );
      expect(await acceptances(questions)).toEqual(leaves.map(() => true));
      asked += questions.length;
    }
    expect(asked).toBe(log.batches.reduce((total, { leaves }) => total + leaves.length, 0));
  });

  test('every record is in the log of every size', async () => {
    const questions: Promise<Verdicts>[] = [];
    for (const size of SIZES.slice(1)) {
      for (const index of SIZES.filter((index) => index < size)) {
        questions.push(verifiers.inclusion(await inclusionOf(index, size)));
      }
    }
    expect(questions).toHaveLength((SIZES.length * (SIZES.length - 1)) / 2);
    expect(await acceptances(questions)).toEqual(questions.map(() => true));
  });

  test.each([
    [0, 1],
    [4, 7],
    [128, 129],
    [200, 257],
  ])('record %i in the log of %i is refused with anything changed', async (index, size) => {
    const proof = await inclusionOf(index, size);
    const changed = [
      ...[...flippedBits(proof.entry)].map((entry) => ({ ...proof, entry })),
      ...[...flippedBits(proof.root)].map((root) => ({ ...proof, root })),
      ...[...flippedPaths(proof.path)].map((path) => ({ ...proof, path })),
      ...[...misshapenPaths(proof.path, [proof.root])].map((path) => ({ ...proof, path })),
      ...SIZES.filter((other) => other !== index).map((index) => ({ ...proof, index })),
      // Some paths fit trees of other sizes as well; with the root that belongs to the size none does.
      ...SIZES.filter((other) => other !== size).map((size) => ({ ...proof, size, root: roots[size]! })),
    ];
    expect(await acceptances(changed.map((question) => verifiers.inclusion(question)))).toEqual(
      changed.map(() => false),
    );
  });
});

describe('consistency, to Go', () => {
  test('every size of the log is a beginning of every later one', async () => {
    const questions: Promise<Verdicts>[] = [];
    for (const second of SIZES) {
      for (const first of SIZES.filter((first) => first <= second)) {
        questions.push(verifiers.consistency(await consistencyOf(first, second)));
      }
    }
    expect(questions).toHaveLength((SIZES.length * (SIZES.length + 1)) / 2);
    expect(await acceptances(questions)).toEqual(questions.map(() => true));
  });

  test.each([
    [1, 2],
    [4, 7],
    [6, 8],
    [129, 257],
  ])('the log of %i as a beginning of that of %i is refused with anything changed', async (first, second) => {
    const proof = await consistencyOf(first, second);
    const others = SIZES.filter((size) => size > 0);
    const changed = [
      ...[...flippedBits(proof.firstRoot)].map((firstRoot) => ({ ...proof, firstRoot })),
      ...[...flippedBits(proof.secondRoot)].map((secondRoot) => ({ ...proof, secondRoot })),
      ...[...flippedPaths(proof.path)].map((path) => ({ ...proof, path })),
      ...[...misshapenPaths(proof.path, [proof.firstRoot])].map((path) => ({ ...proof, path })),
      ...others
        .filter((other) => other !== first)
        .map((first) => ({ ...proof, first, firstRoot: roots[first]! })),
      ...others
        .filter((other) => other !== second)
        .map((second) => ({ ...proof, second, secondRoot: roots[second]! })),
    ];
    expect(await acceptances(changed.map((question) => verifiers.consistency(question)))).toEqual(
      changed.map(() => false),
    );
  });

  test('a log in which any one early record was rewritten is no continuation', async () => {
    const proof = await consistencyOf(5, 13);
    const records = log.batches.slice(0, 13).map(({ record }) => record);
    for (const rewritten of SMALL.slice(0, 13)) {
      const forged = records.with(rewritten, Buffer.from('{"type":"rewritten"}'));
      const secondRoot = await rootOf(forged);
      expect(unanimous(await verifiers.consistency({ ...proof, secondRoot }))).toBe(false);
    }
  });
});

async function inclusionOf(index: number, size: number) {
  const { anchorId, record } = log.batches[index]!;
  const { receipt } = await server.notary.getInclusionProof({ anchorId, treeSize: BigInt(size) });
  expect(receipt!.record).toEqual(record);
  return { entry: record, index, size, path: receipt!.recordPath, root: roots[size]! };
}

async function consistencyOf(first: number, second: number) {
  const { consistencyPath: path } = await server.notary.getConsistencyProof({
    clusterId: log.clusterId,
    firstSize: BigInt(first),
    secondSize: BigInt(second),
  });
  return { first, second, path, firstRoot: roots[first]!, secondRoot: roots[second]! };
}

/** The root of each beginning, on which both implementations agree. */
async function rootsOf(entries: readonly Uint8Array[]): Promise<Buffer[]> {
  const [one, other, ...more] = [...(await verifiers.roots(entries)).values()];
  expect(more).toEqual([]);
  expect(one).toEqual(other);
  return one!.map((root) => Buffer.from(root, 'hex'));
}

async function rootOf(entries: readonly Uint8Array[]): Promise<Buffer> {
  return (await rootsOf(entries)).at(-1)!;
}

async function acceptances(asked: readonly Promise<Verdicts>[]): Promise<boolean[]> {
  return (await Promise.all(asked)).map(unanimous);
}
