import type { Growth } from './target.ts';

/** The largest input is so many times the smallest: linear time grows as much, quadratic time by the square, 64. */
export const GROWTH_FACTOR = 8;
/** Between the two, with room for caches and collectors on the one side and for constant parts on the other. */
const MOST_TIMES = 28;
/** Below this nothing can be told from noise, and nobody is harmed. */
const UNNOTICED_MS = 4;
const TRIES = 4;

/**
 * Whether time grows faster than input. The least of some runs is compared, since other work only ever adds time, and a
 * suspicion must come back four times before it is one: what is quadratic is so every time.
 *
 * @returns what is wrong
 */
export function checkGrowth({ name, from, prepare }: Growth): string | undefined {
  let told = '';
  for (let turn = 0; turn < TRIES; turn++) {
    const small = leastMs(prepare(from));
    const large = leastMs(prepare(from * GROWTH_FACTOR));
    if (large < UNNOTICED_MS || large / Math.max(small, 0.01) < MOST_TIMES) return undefined;
    told = `${small.toFixed(2)} ms for ${from} units, ${large.toFixed(2)} ms for ${from * GROWTH_FACTOR}`;
  }
  return `growth of ${name}: faster than linear, ${told}`;
}

function leastMs(run: () => void): number {
  let least = Number.POSITIVE_INFINITY;
  const until = performance.now() + 150;
  for (let turn = 0; turn < 3 || (turn < 30 && performance.now() < until); turn++) {
    const begunAt = performance.now();
    run();
    least = Math.min(least, performance.now() - begunAt);
  }
  return least;
}
