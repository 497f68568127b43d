import fc from 'fast-check';
import { keepInput, readCorpus, showInput } from './corpus.ts';
import type { CurrentInput } from './current-input.ts';
import { checkGrowth } from './growth.ts';
import { minimize } from './minimize.ts';
import type { Input, Opened } from './target.ts';
import { TARGETS } from './targets.ts';

export interface Job {
  readonly name: string;
  readonly seed: number;
  readonly inputs: number;
  readonly keep: boolean;
  readonly growth: boolean;
}

export interface JobResult {
  readonly inputs: number;
  readonly accepted: number;
  /** Inputs of the corpus, fed in first. */
  readonly kept: number;
  readonly growth: number;
  readonly ms: number;
  /** What to tell of the input that failed, once it was shrunk. */
  readonly failure: string | undefined;
}

/** Inputs are small: the slowest take some milliseconds. Not less, since other work may stop this thread for a while. */
const SLOW_MS = 5_000;

export async function runTarget(job: Job, current: CurrentInput): Promise<JobResult> {
  const begunAt = performance.now();
  const target = TARGETS.find(({ name }) => name === job.name);
  if (target === undefined) throw new Error(`there is no target ${job.name}`);
  const opened = await target.open();
  const count = { inputs: 0, accepted: 0, kept: 0, growth: 0 };
  const feed = async (input: Input) => {
    current.set(input);
    const fedAt = performance.now();
    const accepted = await opened.check(input);
    const ms = performance.now() - fedAt;
    if (ms > SLOW_MS) throw new Error(`took ${Math.round(ms)} ms`);
    count.inputs++;
    if (accepted) count.accepted++;
  };
  try {
    const failure =
      (await replayCorpus(job, feed, count)) ??
      (await attack(job, opened, feed)) ??
      (job.growth ? growthFailure(opened, count) : undefined);
    return { ...count, ms: performance.now() - begunAt, failure };
  } finally {
    await opened.close?.();
  }
}

type Feed = (input: Input) => Promise<void>;

async function replayCorpus({ name }: Job, feed: Feed, count: { kept: number }): Promise<string | undefined> {
  for (const { file, input } of readCorpus(name)) {
    try {
      await feed(input);
    } catch (error) {
      return `corpus/${name}/${file}: ${describe(error)}`;
    }
    count.kept++;
  }
  return undefined;
}

async function attack(
  { name, seed, inputs, keep }: Job,
  opened: Opened,
  feed: Feed,
): Promise<string | undefined> {
  const details = await fc.check(fc.asyncProperty(opened.inputs, feed), { seed, numRuns: inputs });
  if (!details.failed) return undefined;
  const [shrunk] = details.counterexample ?? [];
  if (shrunk === undefined) return `seed ${seed}: ${describe(details.errorInstance)}`;
  let error = details.errorInstance;
  const input = await minimize(shrunk, async (less) => {
    try {
      await feed(less);
      return false;
    } catch (thrown) {
      // Another failure is another input.
      if (kindOf(thrown) !== kindOf(error)) return false;
      error = thrown;
      return true;
    }
  });
  const kept = keep ? `\nkept as ${keepInput(name, input)}` : '';
  return (
    `${describe(error)}\ninput ${details.numRuns} of --seed ${seed} --target ${name} --inputs ${inputs}, ` +
    `${details.numShrinks} times shrunk and cut to ${input.length}:\n${showInput(input)}${kept}`
  );
}

function growthFailure({ growth = [] }: Opened, count: { growth: number }): string | undefined {
  for (const one of growth) {
    const failure = checkGrowth(one);
    if (failure !== undefined) return failure;
    count.growth++;
  }
  return undefined;
}

const kindOf = (error: unknown): string => String(error).slice(0, 40);

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}\n${error.cause.stack}` : `${error.stack}`;
}
