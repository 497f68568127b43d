import { type OutboxKind, POINTS, type Point, planRun, type RunPlan } from './plan.ts';
import { type RunResult, run } from './run.ts';
import type { Stage } from './stage.ts';

export interface CrashOptions {
  readonly seed: string;
  /** how many with each outbox */
  readonly runs: Readonly<Partial<Record<OutboxKind, number>>>;
  /** that run of each outbox alone, to look at it again */
  readonly only?: number | undefined;
  readonly print: (line: string) => void;
}

export interface CrashReport {
  readonly results: readonly RunResult[];
  readonly findings: readonly string[];
  /** how often an application with each outbox died at each point */
  readonly deaths: ReadonlyMap<string, number>;
  /** points at which nothing died: they showed nothing */
  readonly missed: readonly string[];
}

/** Rounds of further runs for points at which nothing has died: the notary was away, or a replica was faster. */
const FURTHER_ROUNDS = 3;

/** Runs them, on several stages at once; then those that are needed for each point to be the end of somebody. */
export async function runCrashes(stages: readonly Stage[], options: CrashOptions): Promise<CrashReport> {
  const { seed, only, print } = options;
  const runs = only === undefined ? options.runs : {};
  const outboxes = Object.entries(options.runs) as [OutboxKind, number][];
  const plans = outboxes.flatMap(([outbox, count]) =>
    (only === undefined ? [...Array(count).keys()] : [only]).map((number) => ({
      share: number / count,
      plan: planRun(seed, outbox, number),
    })),
  );
  // One outbox after another, so that whoever ends it early has seen something of each.
  const planned = plans.sort((a, b) => a.share - b.share).map(({ plan }) => plan);
  const results = await runAll(stages, planned, print);
  for (let round = 1; round <= FURTHER_ROUNDS; round++) {
    const missed = missedPoints(results, runs);
    const further = missed.map(([outbox, point]) => {
      const turns = Math.ceil((runs[outbox] ?? 0) / POINTS[outbox].length) + round;
      return planRun(seed, outbox, POINTS[outbox].indexOf(point) + turns * POINTS[outbox].length);
    });
    results.push(...(await runAll(stages, further, print)));
  }
  return {
    results,
    findings: results.flatMap(({ plan, findings }) =>
      findings.map(({ rule, what }) => `${plan.name}: ${rule}: ${what}`),
    ),
    deaths: countDeaths(results),
    missed: missedPoints(results, runs).map(([outbox, point]) => `${outbox}: ${point}`),
  };
}

async function runAll(
  stages: readonly Stage[],
  plans: readonly RunPlan[],
  print: (line: string) => void,
): Promise<RunResult[]> {
  const results: RunResult[] = [];
  let next = 0;
  await Promise.all(
    stages.map(async (stage) => {
      for (let plan = plans[next++]; plan !== undefined; plan = plans[next++]) {
        const startedAt = performance.now();
        const result = await run(stage, plan).catch((error: unknown) => brokenRun(plan, error));
        const seconds = (performance.now() - startedAt) / 1_000;
        results.push(result);
        print(`${lineOf(result, results.length, plans.length)}; ${seconds.toFixed(1)} s`);
        for (const { rule, what } of result.findings) print(`    WRONG: ${rule}: ${what}`);
      }
    }),
  );
  return results;
}

function brokenRun(plan: RunPlan, error: unknown): RunResult {
  const what = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const findings = [{ rule: 'the run came to its end', what }] as const;
  return { plan, findings, deaths: [], strokes: 0, events: 0, submittedAgain: 0 };
}

function lineOf({ plan, deaths, events, strokes }: RunResult, done: number, runs: number): string {
  const { name, notary, inFlight, processes } = plan;
  const troubled = strokes > 0 ? ` (${strokes})` : '';
  const replicas = processes.length > 1 ? `, ${processes.length} replicas` : '';
  const died = deaths.length === 0 ? 'was not killed' : `died: ${deaths.join(', ')}`;
  return `${done}/${runs} ${name}: notary ${notary.kind}${troubled}, ${inFlight} in flight${replicas}; ${died}; ${events} events`;
}

function countDeaths(results: readonly RunResult[]): Map<string, number> {
  const counts = new Map<string, number>();
  const count = (key: string) => counts.set(key, (counts.get(key) ?? 0) + 1);
  for (const { plan, deaths } of results) {
    for (const death of deaths) {
      count(`${plan.outbox}: ${death}`);
      if (plan.processes.length > 1) count(`${plan.outbox}, beside a replica: ${death}`);
    }
  }
  return counts;
}

/** Of outboxes with fewer runs than points there are always some. */
function missedPoints(results: readonly RunResult[], runs: CrashOptions['runs']): [OutboxKind, Point][] {
  const deaths = countDeaths(results);
  return (Object.entries(runs) as [OutboxKind, number][]).flatMap(([outbox, count]) =>
    count < POINTS[outbox].length
      ? []
      : POINTS[outbox]
          .filter((point) => !deaths.has(`${outbox}: ${point}`))
          .map((point): [OutboxKind, Point] => [outbox, point]),
  );
}

export function summary({ results, deaths, findings }: CrashReport): string[] {
  const sum = (of: (result: RunResult) => number) => results.reduce((total, result) => total + of(result), 0);
  return [
    ...[...deaths].sort().map(([key, count]) => `${String(count).padStart(5)}  ${key}`),
    `${results.length} runs, ${sum(({ deaths }) => deaths.length)} deaths, ${sum(({ events }) => events)} committed events, ` +
      `${sum(({ strokes }) => strokes)} faults of the notary, ${sum(({ submittedAgain }) => submittedAgain)} events submitted again; ` +
      `${findings.length} findings`,
  ];
}
