import { LEAF_PREFIX, NODE_PREFIX } from '../hasher.ts';
import { type Code, type FunctionSource, get, I32, i32, i32x4, loopWhile, set, V128 } from './encoding.ts';
import { HASH_SIZE, INPUT, LANES, OUTPUT } from './layout.ts';
import { compress, initialize, type MessageWord, registersFrom, type Words } from './sha256.ts';

/** The same word of four messages at a time. */
const words: Words = {
  constant: (word) => i32x4.splat(i32.constant(word)),
  add: i32x4.add,
  and: i32x4.and,
  xor: i32x4.xor,
  shr: i32x4.shr,
  // WebAssembly has no rotation of vectors.
  rotr: (a, bits) => i32x4.or(i32x4.shr(a, bits), i32x4.shl(a, 32 - bits)),
  choose: (x, y, z) => i32x4.select(y, z, x),
};

const GROUPS = 0;
const FROM = 1;
const TO = 2;
const TEMPORARY = 3;
const registers = registersFrom(4);

/** `leaves(groups)`: a row of entries of 32 bytes. */
export const leavesFunction = (): FunctionSource => rowFunction('leaves', LEAF_PREFIX, HASH_SIZE);

/** `nodes(groups)`: a row of pairs of hashes. */
export const nodesFunction = (): FunctionSource => rowFunction('nodes', NODE_PREFIX, 2 * HASH_SIZE);

/** A function that hashes a row of inputs of `stride` bytes, each behind a prefix byte. */
function rowFunction(name: string, prefix: number, stride: number): FunctionSource {
  const body = [
    // One before the input, where the prefix would be: offsets are unsigned.
    set(FROM, i32.constant(INPUT - 1)),
    set(TO, i32.constant(OUTPUT)),
    loopWhile(
      [
        initialize(words, registers),
        paddedBlocks(prefix, stride).map((block) => compress(words, block, registers)),
        registers.state.map(storeWord),
        set(FROM, i32.add(get(FROM), i32.constant(LANES * stride))),
        set(TO, i32.add(get(TO), i32.constant(LANES * HASH_SIZE))),
        set(GROUPS, i32.add(get(GROUPS), i32.constant(-1))),
      ],
      get(GROUPS),
    ),
  ];
  const vectors = Array<number>(1 + registers.count).fill(V128);
  return { name, parameters: 1, locals: [I32, I32, ...vectors], body };
}

/** The blocks of the messages `prefix || input`, padded as in FIPS 180-4 section 5.1.1. */
function paddedBlocks(prefix: number, stride: number): MessageWord[][] {
  const length = 1 + stride;
  const message: MessageWord[] = [
    // The prefix takes the place of the byte before the input.
    masked(loadWord(0, stride), 0x00ffffff, prefix << 24),
    ...range(1, stride / 4 - 1).map((i) => loadWord(4 * i, stride)),
    // The last byte of the input, then the bit that ends every message.
    masked(loadWord(stride, stride), 0xff000000, 0x00800000),
  ];
  while (message.length % 16 !== 15) message.push(0);
  message.push(length * 8);
  return range(0, message.length / 16).map((i) => message.slice(16 * i, 16 * (i + 1)));
}

function masked(word: Code, mask: number, bits: number): Code {
  return i32x4.or(i32x4.and(word, words.constant(mask)), words.constant(bits));
}

/** The big-endian word at this offset of each of the four messages. */
function loadWord(offset: number, stride: number): Code {
  let word = i32x4.loadZero(get(FROM), offset);
  for (let lane = 1; lane < LANES; lane++) {
    word = i32x4.loadLane(get(FROM), offset + lane * stride, lane, word);
  }
  return swapBytes(word);
}

/** Stores word `i` of the four hashes, big-endian. */
function storeWord(local: number, i: number): Code {
  const store = (lane: number) => i32x4.storeLane(get(TO), lane * HASH_SIZE + 4 * i, lane, get(TEMPORARY));
  return [set(TEMPORARY, swapBytes(get(local))), range(0, LANES).map(store)];
}

/** SHA-256 is big-endian, WebAssembly little-endian. */
function swapBytes(word: Code): Code {
  const order = range(0, 16).map((byte) => (byte & ~3) | (3 - (byte & 3)));
  return i32x4.permute(word, order, TEMPORARY);
}

function range(from: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => from + i);
}
