/** Sequences as runs of neighbours, flat: first, count, first, count, ... A batch is nearly always one run. */
export type Runs = readonly number[];

export function runsOf(sequences: readonly number[]): Runs {
  const runs: number[] = [];
  let next = -1;
  for (const sequence of sequences) {
    if (sequence === next) runs[runs.length - 1] = (runs.at(-1) ?? 0) + 1;
    else runs.push(sequence, 1);
    next = sequence + 1;
  }
  return runs;
}

export function countOf(runs: Runs): number {
  let count = 0;
  for (let at = 1; at < runs.length; at += 2) count += runs[at] ?? 0;
  return count;
}
