import type { Input } from './target.ts';

const MOST_TRIES = 3_000;

/**
 * Takes pieces out of an input for as long as it still fails, larger ones first: fast-check has taken back what mutations it
 * could, and what they were made on may be long.
 */
export async function minimize(input: Input, fails: (input: Input) => Promise<boolean>): Promise<Input> {
  let least = input;
  let tries = 0;
  for (let size = Math.ceil(least.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < least.length && tries < MOST_TRIES; tries++) {
      const less = without(least, from, from + size);
      if (await fails(less)) least = less;
      else from += size;
    }
  }
  return least;
}

function without(input: Input, from: number, to: number): Input {
  if (typeof input === 'string') return input.slice(0, from) + input.slice(to);
  return Uint8Array.from([...input.subarray(0, from), ...input.subarray(to)]);
}
