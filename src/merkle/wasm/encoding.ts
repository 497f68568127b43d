/**
 * As much of the WebAssembly binary format as the hasher needs (WebAssembly Core Specification 2.0, chapter 5).
 *
 * Code is written as nested expressions; each is the bytes that leave its value on the stack. They are nested lists,
 * because copying each expression into the one around it would take most of the time.
 */
export type Code = readonly (number | Code)[];

/** Value types, by their encoding (5.3.1, 5.3.2). */
export const I32 = 0x7f;
export const V128 = 0x7b;

/** Unsigned LEB128 (5.2.2). */
export function u32(value: number): Code {
  const bytes: number[] = [];
  let rest = value >>> 0;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

/** Signed LEB128 of the 32-bit integer with these bits. */
function s32(value: number): Code {
  const bytes: number[] = [];
  let rest = value | 0;
  for (; rest < -0x40 || rest >= 0x40; rest >>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest & 0x7f];
}

const memarg = (offset: number): Code => [u32(0), u32(offset)];
const simd = (opcode: number): Code => [0xfd, u32(opcode)];

export const get = (local: number): Code => [0x20, u32(local)];
export const set = (local: number, value: Code): Code => [value, 0x21, u32(local)];

/** Repeats the body until the condition, read after it, is zero. */
export const loopWhile = (body: Code, condition: Code): Code => [
  [0x03, 0x40],
  body,
  condition,
  [0x0d, u32(0), 0x0b],
];

/** Scalar instructions (5.4.6, 5.4.7). */
export const i32 = {
  constant: (value: number): Code => [0x41, s32(value)],
  load: (address: Code, offset: number): Code => [address, 0x28, memarg(offset)],
  store: (address: Code, offset: number, value: Code): Code => [address, value, 0x36, memarg(offset)],
  add: (a: Code, b: Code): Code => [a, b, 0x6a],
  and: (a: Code, b: Code): Code => [a, b, 0x71],
  or: (a: Code, b: Code): Code => [a, b, 0x72],
  xor: (a: Code, b: Code): Code => [a, b, 0x73],
  shr: (a: Code, bits: number): Code => [a, i32.constant(bits), 0x76],
  rotr: (a: Code, bits: number): Code => [a, i32.constant(bits), 0x78],
};

/** Four 32-bit lanes at once (5.4.8). */
export const i32x4 = {
  splat: (a: Code): Code => [a, simd(17)],
  loadZero: (address: Code, offset: number): Code => [address, simd(92), memarg(offset)],
  loadLane: (address: Code, offset: number, lane: number, into: Code): Code => [
    [address, into],
    [simd(86), memarg(offset), lane],
  ],
  storeLane: (address: Code, offset: number, lane: number, from: Code): Code => [
    [address, from],
    [simd(90), memarg(offset), lane],
  ],
  /** The bytes of a vector in another order; it passes through a local, to be read twice. */
  permute: (a: Code, order: readonly number[], via: number): Code => [
    [set(via, a), get(via), get(via)],
    [simd(13), order],
  ],
  and: (a: Code, b: Code): Code => [a, b, simd(78)],
  or: (a: Code, b: Code): Code => [a, b, simd(80)],
  xor: (a: Code, b: Code): Code => [a, b, simd(81)],
  /** Bits of `a` where the mask is 1, of `b` where it is 0. */
  select: (a: Code, b: Code, mask: Code): Code => [a, b, mask, simd(82)],
  shl: (a: Code, bits: number): Code => [a, i32.constant(bits), simd(171)],
  shr: (a: Code, bits: number): Code => [a, i32.constant(bits), simd(173)],
  add: (a: Code, b: Code): Code => [a, b, simd(174)],
};

/** A function that takes i32 parameters and returns nothing. */
export interface FunctionSource {
  readonly name: string;
  readonly parameters: number;
  /** Types of the locals after the parameters. */
  readonly locals: readonly number[];
  readonly body: Code;
}

/** A module (5.5) that exports its one memory as `memory`, and its functions by their names. */
export function assemble(pages: number, functions: readonly FunctionSource[]): Uint8Array<ArrayBuffer> {
  const types = functions.map((f) => [0x60, vector(Array<number>(f.parameters).fill(I32)), vector([])]);
  const exports = functions.map((f, i) => [text(f.name), 0x00, u32(i)]);
  const bodies = functions.map((f) => sized([vector(f.locals.map((type) => [u32(1), type])), f.body, 0x0b]));
  const bytes = flatten([
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, vector(types)),
    section(3, vector(functions.map((_, i) => u32(i)))),
    section(5, vector([[0x01, u32(pages), u32(pages)]])),
    section(7, vector([[text('memory'), 0x02, u32(0)], ...exports])),
    section(10, vector(bodies)),
  ]);
  return Uint8Array.from(bytes);
}

const section = (id: number, content: Code): Code => [id, sized(content)];
const vector = (items: Code): Code => [u32(items.length), items];
const text = (ascii: string): Code => vector([...ascii].map((c) => c.charCodeAt(0)));

function sized(content: Code): Code {
  const bytes = flatten(content);
  return [u32(bytes.length), bytes];
}

function flatten(code: Code, into: number[] = []): number[] {
  for (const part of code) {
    if (typeof part === 'number') into.push(part);
    else flatten(part, into);
  }
  return into;
}
