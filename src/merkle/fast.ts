import { countHashes, HASH_SIZE } from './hash.ts';
import type { TreeHasher } from './hasher.ts';
import { countPairs, portableHasher } from './portable.ts';
import { INPUT, LANES, MAX_INPUT, OUTPUT, type Sha256x4, sha256x4Module } from './wasm/module.ts';

/** What is used of the platform's WebAssembly; the ES library of TypeScript does not declare it, only the DOM's. */
declare const WebAssembly: {
  validate(bytes: Uint8Array<ArrayBuffer>): boolean;
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/**
 * The fastest hasher of this platform: WebAssembly SIMD, four hashes at a time, or `portableHasher` where there is
 * no SIMD (or no WebAssembly at all). `bench/hashing.ts` says by how much.
 */
export const fastHasher: TreeHasher = createFastHasher();

function createFastHasher(): TreeHasher {
  const bytes = sha256x4Module();
  if (typeof WebAssembly === 'undefined' || !WebAssembly.validate(bytes)) return portableHasher;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  return hasherOf(exports as Sha256x4);
}

function hasherOf(wasm: Sha256x4): TreeHasher {
  // The memory never grows, so that one view stays valid.
  const memory = new Uint8Array(wasm.memory.buffer);

  const hashRow = (run: (groups: number) => void, packed: Uint8Array, stride: number): Uint8Array => {
    const out = new Uint8Array((packed.length / stride) * HASH_SIZE);
    for (let at = 0, to = 0; at < packed.length; at += MAX_INPUT) {
      const chunk = packed.subarray(at, at + MAX_INPUT);
      memory.set(chunk, INPUT);
      const count = chunk.length / stride;
      // Lanes beyond the last input hash what an earlier call left there; nobody reads those hashes.
      run(Math.ceil(count / LANES));
      out.set(memory.subarray(OUTPUT, OUTPUT + count * HASH_SIZE), to);
      to += count * HASH_SIZE;
    }
    return out;
  };

  return {
    leafHash: portableHasher.leafHash,

    nodeHash(left, right) {
      memory.set(left, INPUT);
      memory.set(right, INPUT + HASH_SIZE);
      wasm.nodes(1);
      return memory.slice(OUTPUT, OUTPUT + HASH_SIZE);
    },

    leafHashes(packedEntries) {
      countHashes(packedEntries, 'packed entries');
      return hashRow(wasm.leaves, packedEntries, HASH_SIZE);
    },

    nodeHashes(packedPairs) {
      countPairs(packedPairs);
      return hashRow(wasm.nodes, packedPairs, 2 * HASH_SIZE);
    },
  };
}
