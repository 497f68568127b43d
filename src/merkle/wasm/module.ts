import { LEAF_PREFIX, NODE_PREFIX } from '../hasher.ts';
import {
  assemble,
  type Code,
  type FunctionSource,
  get,
  I32,
  i32,
  i32x4,
  loopWhile,
  set,
  V128,
} from './encoding.ts';
import { compress, INITIAL_HASH, type MessageWord, type Registers, type Words } from './sha256.ts';

const HASH_SIZE = 32;
const PAGE_SIZE = 65_536;

/** Messages hashed at once: one in each 32-bit lane of a vector. */
export const LANES = 4;

/** Where the input row begins. Not at 0: the code reads one byte before it. */
export const INPUT = 64;

/** Bytes of the longest input row. */
export const MAX_INPUT = PAGE_SIZE;

/** Where the output row begins: after the input and the few bytes that are read behind it. */
export const OUTPUT = INPUT + MAX_INPUT + 64;

/** What the module exports. Both functions hash `4 * groups` inputs (at least one group) from INPUT to OUTPUT. */
export interface Sha256x4 {
  readonly memory: { readonly buffer: ArrayBuffer };
  /** `SHA-256(0x00 || entry)` of entries of 32 bytes. */
  leaves(groups: number): void;
  /** `SHA-256(0x01 || left || right)` of pairs of 32 bytes. */
  nodes(groups: number): void;
}

/** The bytes of the WebAssembly module: SHA-256 of short, equally long messages, four at a time by SIMD. */
export function sha256x4Module(): Uint8Array<ArrayBuffer> {
  return assemble(3, [
    rowFunction('leaves', LEAF_PREFIX, HASH_SIZE),
    rowFunction('nodes', NODE_PREFIX, 2 * HASH_SIZE),
  ]);
}

const vectorWords: Words = {
  type: V128,
  constant: (word) => i32x4.splat(i32.constant(word)),
  add: i32x4.add,
  and: i32x4.and,
  xor: i32x4.xor,
  shr: i32x4.shr,
  // WebAssembly has no rotation of vectors.
  rotr: (a, bits) => i32x4.or(i32x4.shr(a, bits), i32x4.shl(a, 32 - bits)),
  choose: (x, y, z) => i32x4.select(y, z, x),
};

// Locals: the parameter, two addresses, and the vectors of the compression.
const GROUPS = 0;
const FROM = 1;
const TO = 2;
const registers: Registers = {
  state: range(3, 8),
  working: range(11, 8),
  schedule: range(19, 16),
};
const TEMPORARY = 35;

/** A function that hashes a row of inputs of `stride` bytes, each behind a prefix byte. */
function rowFunction(name: string, prefix: number, stride: number): FunctionSource {
  const blocks = paddedBlocks(prefix, stride);
  const hashGroup = [
    registers.state.map((local, i) => set(local, vectorWords.constant(INITIAL_HASH[i] ?? 0))),
    blocks.map((block) => compress(vectorWords, block, registers)),
    registers.state.map(storeWord),
  ].flat(2);
  const body = [
    // One before the input, where the prefix would be: offsets are unsigned.
    ...set(FROM, i32.constant(INPUT - 1)),
    ...set(TO, i32.constant(OUTPUT)),
    ...loopWhile(
      [
        ...hashGroup.flat(),
        ...set(FROM, i32.add(get(FROM), i32.constant(LANES * stride))),
        ...set(TO, i32.add(get(TO), i32.constant(LANES * HASH_SIZE))),
        ...set(GROUPS, i32.add(get(GROUPS), i32.constant(-1))),
      ],
      get(GROUPS),
    ),
  ];
  const vectors = Array(TEMPORARY + 1 - 3).fill(V128);
  return { name, parameters: 1, locals: [I32, I32, ...vectors], body };
}

/** The message blocks of `prefix || input`, padded as in FIPS 180-4 section 5.1.1. */
function paddedBlocks(prefix: number, stride: number): MessageWord[][] {
  const length = 1 + stride;
  const words: MessageWord[] = [];
  for (let at = 0; at < length; at += 4) words.push(loadWord(at, stride));
  // The prefix takes the place of the byte before the input.
  words[0] = masked(words[0], 0x00ffffff, prefix << 24);
  // The last word has one byte of the input, then the bit that ends every message.
  words[words.length - 1] = masked(words.at(-1), 0xff000000, 0x00800000);
  while (words.length % 16 !== 15) words.push(0);
  words.push(length * 8);
  return Array.from({ length: words.length / 16 }, (_, i) => words.slice(16 * i, 16 * (i + 1)));
}

const masked = (word: MessageWord | undefined, mask: number, bits: number): Code => {
  if (word === undefined || typeof word === 'number') throw new TypeError('only loaded words are masked');
  return i32x4.or(i32x4.and(word, vectorWords.constant(mask)), vectorWords.constant(bits));
};

/** The big-endian word at this offset of each of the four messages. */
function loadWord(offset: number, stride: number): Code {
  let word = i32x4.loadZero(get(FROM), offset);
  for (let lane = 1; lane < LANES; lane++) {
    word = i32x4.loadLane(get(FROM), offset + lane * stride, lane, word);
  }
  return swapBytes(word);
}

/** Stores word `i` of the four hashes, big-endian. */
function storeWord(local: number, i: number): Code[] {
  const swapped = set(TEMPORARY, swapBytes(get(local)));
  const stores = range(0, LANES).map((lane) =>
    i32x4.storeLane(get(TO), lane * HASH_SIZE + i * 4, lane, get(TEMPORARY)),
  );
  return [swapped, ...stores];
}

/** SHA-256 is big-endian, WebAssembly little-endian. */
function swapBytes(word: Code): Code {
  const order = range(0, 16).map((byte) => (byte & ~3) | (3 - (byte & 3)));
  return i32x4.permute(word, order, TEMPORARY);
}

function range(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}
