import { type Code, type FunctionSource, get, I32, i32, loopWhile, set } from './encoding.ts';
import { BLOCK_SIZE, INPUT, OUTPUT } from './layout.ts';
import { compress, initialize, registersFrom, type Words } from './sha256.ts';

/** One word at a time. */
const words: Words = {
  constant: i32.constant,
  add: i32.add,
  and: i32.and,
  xor: i32.xor,
  shr: i32.shr,
  rotr: i32.rotr,
  choose: (x, y, z) => i32.xor(z, i32.and(x, i32.xor(y, z))),
};

const BLOCKS = 0;
const FROM = 1;
const TEMPORARY = 2;
const registers = registersFrom(3);

/** `message(blocks)`: one message of any length, in blocks one after the other. */
export function messageFunction(): FunctionSource {
  const block = Array.from({ length: 16 }, (_, i) => swapBytes(i32.load(get(FROM), 4 * i)));
  const body = [
    set(FROM, i32.constant(INPUT)),
    initialize(words, registers),
    loopWhile(
      [
        compress(words, block, registers),
        set(FROM, i32.add(get(FROM), i32.constant(BLOCK_SIZE))),
        set(BLOCKS, i32.add(get(BLOCKS), i32.constant(-1))),
      ],
      get(BLOCKS),
    ),
    registers.state.map((local, i) => i32.store(i32.constant(OUTPUT), 4 * i, swapBytes(get(local)))),
  ];
  const locals = Array<number>(2 + registers.count).fill(I32);
  return { name: 'message', parameters: 1, locals, body };
}

/** SHA-256 is big-endian, WebAssembly little-endian: bytes 0 and 2 go one way round, 1 and 3 the other. */
function swapBytes(word: Code): Code {
  const x = get(TEMPORARY);
  return [
    set(TEMPORARY, word),
    i32.or(
      i32.and(i32.rotr(x, 24), i32.constant(0x00ff00ff)),
      i32.and(i32.rotr(x, 8), i32.constant(0xff00ff00)),
    ),
  ];
}
