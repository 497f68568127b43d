import { checkHash, countHashes } from './hash.ts';
import { LEAF_PREFIX, NODE_PREFIX, type TreeHasher } from './hasher.ts';
import { checkComplete, countPairs, portableHasher } from './portable.ts';
import { BLOCK_SIZE, HASH_SIZE, INPUT, LANES, MAX_INPUT, OUTPUT, type Sha256Exports } from './wasm/layout.ts';
import { sha256Module } from './wasm/module.ts';

/** What is used of the platform's WebAssembly; the ES library of TypeScript does not declare it, only the DOM's. */
interface WebAssemblyApi {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

/** The bit that ends a message and its length (FIPS 180-4 section 5.1.1). */
const PADDING_SIZE = 9;

/**
 * The fastest hasher of this platform: WebAssembly SIMD, four hashes at a time, or `portableHasher` where there is
 * no SIMD (or no WebAssembly at all). `bench/hashing.ts` says by how much.
 */
export const fastHasher: TreeHasher = fastHasherOn(
  (globalThis as { readonly WebAssembly?: WebAssemblyApi }).WebAssembly,
);

/** The fastest hasher on a platform with this WebAssembly, if any. */
export function fastHasherOn(webAssembly: WebAssemblyApi | undefined): TreeHasher {
  if (webAssembly === undefined) return portableHasher;
  const bytes = sha256Module();
  if (!webAssembly.validate(bytes)) return portableHasher;
  const { exports } = new webAssembly.Instance(new webAssembly.Module(bytes));
  return hasherOf(exports as Sha256Exports);
}

function hasherOf(wasm: Sha256Exports): TreeHasher {
  // The memory never grows, so that one view stays valid.
  const memory = new Uint8Array(wasm.memory.buffer);

  /** Hashes the message of this length that is in memory already. */
  const hashMessage = (length: number): Uint8Array => {
    const end = Math.ceil((length + PADDING_SIZE) / BLOCK_SIZE) * BLOCK_SIZE;
    memory.fill(0, INPUT + length, INPUT + end);
    memory[INPUT + length] = 0x80;
    for (let i = 1, bits = length * 8; bits > 0; i++, bits >>>= 8) memory[INPUT + end - i] = bits;
    wasm.message(end / BLOCK_SIZE);
    return memory.slice(OUTPUT, OUTPUT + HASH_SIZE);
  };

  const hashRow = (run: (groups: number) => void, packed: Uint8Array, stride: number): Uint8Array => {
    const out = new Uint8Array((packed.length / stride) * HASH_SIZE);
    for (let from = 0, to = 0; from < packed.length; from += MAX_INPUT) {
      const chunk = packed.subarray(from, from + MAX_INPUT);
      memory.set(chunk, INPUT);
      const count = chunk.length / stride;
      // Lanes beyond the last input hash what an earlier call left there; nobody reads those hashes.
      run(Math.ceil(count / LANES));
      out.set(memory.subarray(OUTPUT, OUTPUT + count * HASH_SIZE), to);
      to += count * HASH_SIZE;
    }
    return out;
  };

  /**
   * Hashes a row of a power of two of hashes that is in memory. The rows above it stay there too: an array for each of them
   * would cost the garbage collector more than the hashing.
   */
  const foldRow = (count: number): Uint8Array => {
    for (let pairs = count / 2; pairs >= 1; pairs /= 2) {
      wasm.nodes(Math.ceil(pairs / LANES));
      memory.copyWithin(INPUT, OUTPUT, OUTPUT + pairs * HASH_SIZE);
    }
    return memory.slice(INPUT, INPUT + HASH_SIZE);
  };

  const hasher: TreeHasher = {
    leafHash(entry) {
      if (1 + entry.length + PADDING_SIZE > MAX_INPUT) return portableHasher.leafHash(entry);
      memory[INPUT] = LEAF_PREFIX;
      memory.set(entry, INPUT + 1);
      return hashMessage(1 + entry.length);
    },

    nodeHash(left, right) {
      checkHash(left, 'left hash');
      checkHash(right, 'right hash');
      memory[INPUT] = NODE_PREFIX;
      memory.set(left, INPUT + 1);
      memory.set(right, INPUT + 1 + HASH_SIZE);
      return hashMessage(1 + 2 * HASH_SIZE);
    },

    leafHashes(packedEntries) {
      countHashes(packedEntries, 'packed entries');
      return hashRow(wasm.leaves, packedEntries, HASH_SIZE);
    },

    nodeHashes(packedPairs) {
      countPairs(packedPairs);
      return hashRow(wasm.nodes, packedPairs, 2 * HASH_SIZE);
    },

    subtreeHash(packedHashes) {
      checkComplete(packedHashes);
      let row = packedHashes;
      while (row.length > MAX_INPUT) row = hashRow(wasm.nodes, row, 2 * HASH_SIZE);
      memory.set(row, INPUT);
      return foldRow(row.length / HASH_SIZE);
    },

    subtreeHashOfEntries(packedEntries) {
      checkComplete(packedEntries);
      if (packedEntries.length > MAX_INPUT) {
        return hasher.subtreeHash(hashRow(wasm.leaves, packedEntries, HASH_SIZE));
      }
      const count = packedEntries.length / HASH_SIZE;
      memory.set(packedEntries, INPUT);
      wasm.leaves(Math.ceil(count / LANES));
      memory.copyWithin(INPUT, OUTPUT, OUTPUT + count * HASH_SIZE);
      return foldRow(count);
    },
  };
  return hasher;
}
