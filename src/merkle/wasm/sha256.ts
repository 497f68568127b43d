import { type Code, get, set } from './encoding.ts';

/** The arithmetic of FIPS 180-4 on one kind of value: a 32-bit word, or the same word of several messages at once. */
export interface Words {
  constant(word: number): Code;
  add(a: Code, b: Code): Code;
  and(a: Code, b: Code): Code;
  xor(a: Code, b: Code): Code;
  shr(a: Code, bits: number): Code;
  rotr(a: Code, bits: number): Code;
  /** Ch(x, y, z): bits of `y` where `x` is 1, of `z` where it is 0. */
  choose(x: Code, y: Code, z: Code): Code;
}

/** A word of the message: code that computes it, or its value where that is known when the code is generated. */
export type MessageWord = Code | number;

/** Locals that a compression works in, all of the type of its words. */
export interface Registers {
  /** The chaining value, 8 locals: read, and replaced by the next one. */
  readonly state: readonly number[];
  /** 8 locals for the working variables a to h. */
  readonly working: readonly number[];
  /** 16 locals for the window of the message schedule. */
  readonly schedule: readonly number[];
  /** How many locals that is. */
  readonly count: number;
}

/** Registers in neighbouring locals, the first of them given. */
export function registersFrom(first: number): Registers {
  const take = (offset: number, count: number) => Array.from({ length: count }, (_, i) => first + offset + i);
  return { state: take(0, 8), working: take(8, 8), schedule: take(16, 16), count: 32 };
}

/** Code that puts the initial hash value into the state. */
export function initialize(words: Words, { state }: Registers): Code {
  return state.map((local, i) => set(local, words.constant(at(INITIAL_HASH, i))));
}

/** First 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4 section 4.2.2). */
const K = firstPrimes(64).map((prime) => fractionBits(Math.cbrt(prime)));

/** The initial hash value: likewise of the square roots of the first 8 primes (section 5.3.3). */
const INITIAL_HASH = firstPrimes(8).map((prime) => fractionBits(Math.sqrt(prime)));

/**
 * Code for one run of the compression function (FIPS 180-4 section 6.2.2), unrolled, with everything that follows
 * from constant message words computed here: a tree's inputs are mostly padding in their last block.
 */
export function compress(words: Words, message: readonly MessageWord[], registers: Registers): Code {
  const { state, working, schedule } = registers;
  const code: Code[] = state.map((local, i) => set(at(working, i), get(local)));
  const window: MessageWord[] = [];
  for (let t = 0; t < 64; t++) {
    const value = t < 16 ? message[t] : expand(words, window, t);
    if (value === undefined) throw new RangeError('a message block has 16 words');
    if (typeof value === 'number') window[t % 16] = value;
    else {
      const local = at(schedule, t % 16);
      code.push(set(local, value));
      window[t % 16] = get(local);
    }
    code.push(round(words, at(K, t), window[t % 16] ?? 0, working, t));
  }
  state.forEach((local, i) => {
    code.push(set(local, words.add(get(local), get(at(working, i)))));
  });
  return code;
}

/** W[t] = σ1(W[t-2]) + W[t-7] + σ0(W[t-15]) + W[t-16], where `window` holds the last 16. */
function expand(words: Words, window: readonly MessageWord[], t: number): MessageWord {
  const W = (back: number): MessageWord => window[(t - back) % 16] ?? 0;
  return sum(words, [sigma(words, W(2), 17, 19, 10), W(7), sigma(words, W(15), 7, 18, 3), W(16)]);
}

/** σ0 and σ1: two rotations and a shift. */
function sigma(words: Words, x: MessageWord, r1: number, r2: number, s: number): MessageWord {
  if (typeof x === 'number') return (rotateRight(x, r1) ^ rotateRight(x, r2) ^ (x >>> s)) >>> 0;
  return words.xor(words.xor(words.rotr(x, r1), words.rotr(x, r2)), words.shr(x, s));
}

/** Σ0 and Σ1: three rotations. */
const bigSigma = (words: Words, x: Code, r1: number, r2: number, r3: number): Code =>
  words.xor(words.xor(words.rotr(x, r1), words.rotr(x, r2)), words.rotr(x, r3));

/** Round t. The variables are not moved: the locals trade names, d and h are overwritten. */
function round(words: Words, k: number, w: MessageWord, working: readonly number[], t: number): Code {
  const local = (name: number) => at(working, (name - (t % 8) + 8) % 8);
  const [a, b, c, d, e, f, g, h] = [0, 1, 2, 3, 4, 5, 6, 7].map((name) => get(local(name))) as [
    ...[Code, Code, Code, Code, Code, Code, Code, Code],
  ];
  const t1 = [h, bigSigma(words, e, 6, 11, 25), words.choose(e, f, g), sum(words, [k, w])];
  // Maj(a, b, c) = ((a ^ b) & (b ^ c)) ^ b.
  const majority = words.xor(words.and(words.xor(a, b), words.xor(b, c)), b);
  return [
    set(local(7), codeOf(words, sum(words, t1))),
    set(local(3), words.add(d, h)),
    set(local(7), codeOf(words, sum(words, [h, bigSigma(words, a, 2, 13, 22), majority]))),
  ];
}

/** The sum, with all known terms added up here. */
function sum(words: Words, terms: readonly MessageWord[]): MessageWord {
  let known = 0;
  let code: Code | undefined;
  for (const term of terms) {
    if (typeof term === 'number') known = (known + term) >>> 0;
    else code = code === undefined ? term : words.add(code, term);
  }
  if (code === undefined) return known;
  return known === 0 ? code : words.add(code, words.constant(known));
}

const codeOf = (words: Words, word: MessageWord): Code =>
  typeof word === 'number' ? words.constant(word) : word;

const rotateRight = (x: number, bits: number): number => ((x >>> bits) | (x << (32 - bits))) >>> 0;

function fractionBits(x: number): number {
  return Math.floor((x - Math.floor(x)) * 2 ** 32);
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

function at(locals: readonly number[], i: number): number {
  const local = locals[i];
  if (local === undefined) throw new RangeError(`no local ${i}`);
  return local;
}
