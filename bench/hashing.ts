/**
 * Which SHA-256 hashes a batch fastest? `node bench/hashing.ts` hashes whole trees with every candidate in one run,
 * in turns, and prints the median of each. The fast hasher is chosen by this table.
 *
 * Two libraries that are not dependencies join the comparison where they are installed:
 * `npm install --no-save @chainsafe/as-sha256 hash-wasm`.
 */
import { createHash, hash } from 'node:crypto';
import { cpus } from 'node:os';
import { fastHasher } from '../src/merkle/fast.ts';
import {
  HASH_SIZE,
  hashBatch,
  hashBatchInSlices,
  portableHasher,
  type TreeHasher,
} from '../src/merkle/index.ts';
import { sha256Module } from '../src/merkle/wasm/module.ts';

const LEAF_COUNTS = [1, 100, 1_000, 10_000, 100_000];
const ROUNDS = 9;
/** A measurement repeats small trees until it takes about this long. */
const MIN_MEASUREMENT_MS = 20;

type Sha256 = (input: Uint8Array) => Uint8Array;

/** A tree hasher over any function that hashes one message. */
function hasherOver(sha256: Sha256): TreeHasher {
  const row = (packed: Uint8Array, prefix: number, stride: number) => {
    const input = new Uint8Array(1 + stride);
    input[0] = prefix;
    const out = new Uint8Array((packed.length / stride) * HASH_SIZE);
    for (let from = 0, to = 0; from < packed.length; from += stride, to += HASH_SIZE) {
      input.set(packed.subarray(from, from + stride), 1);
      out.set(sha256(input), to);
    }
    return out;
  };
  const nodeHashes = (packed: Uint8Array) => row(packed, 1, 2 * HASH_SIZE);
  const subtreeHash = (packed: Uint8Array) => {
    let hashes = packed;
    while (hashes.length > HASH_SIZE) hashes = nodeHashes(hashes);
    return hashes;
  };
  return {
    leafHash: (entry) => row(entry, 0, entry.length),
    nodeHash: (left, right) => {
      const input = new Uint8Array(1 + 2 * HASH_SIZE);
      input[0] = 1;
      input.set(left, 1);
      input.set(right, 1 + HASH_SIZE);
      return sha256(input);
    },
    leafHashes: (packed) => row(packed, 0, HASH_SIZE),
    nodeHashes,
    subtreeHash,
    subtreeHashOfEntries: (packed) => subtreeHash(row(packed, 0, HASH_SIZE)),
  };
}

async function optional(
  name: string,
  sha256Of: (module: never) => Promise<Sha256>,
): Promise<[string, TreeHasher][]> {
  try {
    return [[name, hasherOver(await sha256Of((await import(name)) as never))]];
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return [];
  }
}

interface IncrementalSha256 {
  init(): this;
  update(input: Uint8Array): this;
  digest(encoding: 'binary'): Uint8Array;
}

const candidates: readonly [string, TreeHasher][] = [
  ['fastHasher (WebAssembly SIMD, ours)', fastHasher],
  ['portableHasher (@noble/hashes)', portableHasher],
  ['node:crypto hash()', hasherOver((input) => hash('sha256', input, 'buffer'))],
  ['node:crypto createHash()', hasherOver((input) => createHash('sha256').update(input).digest())],
  ...(await optional('@chainsafe/as-sha256', async (module: { digest: Sha256 }) => module.digest)),
  ...(await optional('hash-wasm', async (module: { createSHA256(): Promise<IncrementalSha256> }) => {
    const sha256 = await module.createSHA256();
    return (input) => sha256.init().update(input).digest('binary');
  })),
];

/** Milliseconds that one call takes, the mean over enough of them. */
function measure(run: () => void): number {
  for (let repeats = 1; ; repeats *= 2) {
    const start = performance.now();
    for (let i = 0; i < repeats; i++) run();
    const elapsed = performance.now() - start;
    if (elapsed >= MIN_MEASUREMENT_MS) return elapsed / repeats;
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** Leaves that are cheap to make and not all alike. */
function leavesOf(count: number): Uint8Array {
  const packed = new Uint8Array(count * HASH_SIZE);
  for (let i = 0, x = 1; i < packed.length; i++, x = Math.imul(x, 1_664_525) + 1_013_904_223)
    packed[i] = x >>> 24;
  return packed;
}

function benchTrees(): void {
  const cells = new Map<string, string[]>(candidates.map(([name]) => [name, []]));
  for (const count of LEAF_COUNTS) {
    const leaves = leavesOf(count);
    const times = new Map<string, number[]>(candidates.map(([name]) => [name, []]));
    // In turns, so that a slow moment of the machine is everybody's; the first round warms up.
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, hasher] of candidates) {
        const ms = measure(() => hashBatch(hasher, leaves));
        if (round > 0) times.get(name)?.push(ms);
      }
    }
    for (const [name, all] of times) {
      const ms = median(all);
      cells.get(name)?.push(`${ms.toPrecision(3)} ms, ${(count / ms / 1_000).toFixed(2)} M/s`);
    }
  }
  const heads = LEAF_COUNTS.map(
    (count) => `${count.toLocaleString('en')} ${count === 1 ? 'leaf' : 'leaves'}`,
  );
  console.log(`| hasher | ${heads.join(' | ')} |\n|${' --- |'.repeat(heads.length + 1)}`);
  for (const [name, row] of cells) console.log(`| ${name} | ${row.join(' | ')} |`);
}

/** The longest pause of the event loop that hashing a big batch in slices makes. */
function benchSlices(): void {
  const leaves = leavesOf(100_000);
  const pauses: number[] = [];
  const slices = hashBatchInSlices(fastHasher, leaves);
  for (let done = false; !done; ) {
    const start = performance.now();
    done = slices.next().done === true;
    pauses.push(performance.now() - start);
  }
  const longest = Math.max(...pauses).toFixed(2);
  console.log(
    `\n100,000 leaves in slices: ${pauses.length} slices, median ${median(pauses).toFixed(2)} ms, longest ${longest} ms`,
  );
}

/** What single hashes cost, as the log needs them: a record's leaf hash and one node. */
function benchSingles(): void {
  const record = leavesOf(13).subarray(0, 400);
  const [left, right] = [leavesOf(1), leavesOf(1)];
  console.log('\n| hasher | leaf hash of 400 bytes | node hash |\n| --- | --- | --- |');
  for (const [name, hasher] of candidates) {
    const micros = (run: () => void) =>
      `${(median(Array.from({ length: ROUNDS }, () => measure(run))) * 1_000).toFixed(2)} µs`;
    console.log(
      `| ${name} | ${micros(() => hasher.leafHash(record))} | ${micros(() => hasher.nodeHash(left, right))} |`,
    );
  }
}

console.log(
  `${cpus()[0]?.model}, ${cpus().length} logical CPUs, Node ${process.version}, medians of ${ROUNDS}\n`,
);
benchTrees();
benchSingles();
benchSlices();
const start = performance.now();
const bytes = sha256Module();
console.log(
  `generating the WebAssembly module: ${bytes.length} bytes in ${(performance.now() - start).toFixed(1)} ms`,
);
