import { type OutboxKind, POINTS, type Point, planRun } from './plan.ts';
import { type RunResult, run } from './run.ts';
import type { Stage } from './stage.ts';

export interface CrashOptions {
  readonly seed: string;
  readonly outboxes: readonly OutboxKind[];
  /** of all outboxes together */
  readonly runs: number;
  /** none is begun after it */
  readonly deadlineMs?: number | undefined;
  readonly print: (line: string) => void;
}

export interface CrashReport {
  readonly results: readonly RunResult[];
  readonly findings: readonly string[];
  /** how often an application with each outbox died at each point */
  readonly deaths: ReadonlyMap<string, number>;
}

/** Runs them, on several stages at once. */
export async function runCrashes(stages: readonly Stage[], options: CrashOptions): Promise<CrashReport> {
  const { seed, outboxes, runs, deadlineMs = Number.POSITIVE_INFINITY, print } = options;
  const results: RunResult[] = [];
  let next = 0;
  await Promise.all(
    stages.map(async (stage) => {
      while (next < runs && performance.now() < deadlineMs) {
        const number = next++;
        const outbox = outboxes[number % outboxes.length] ?? 'journal';
        const plan = planRun(seed, outbox, Math.floor(number / outboxes.length));
        const result = await run(stage, plan);
        results.push(result);
        print(lineOf(result, results.length, runs));
        for (const { rule, what } of result.findings) print(`    WRONG: ${rule}: ${what}`);
      }
    }),
  );
  return {
    results,
    findings: results.flatMap(({ plan, findings }) =>
      findings.map(({ rule, what }) => `${plan.name}: ${rule}: ${what}`),
    ),
    deaths: countDeaths(results),
  };
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
  for (const { plan, deaths } of results) {
    for (const death of deaths) {
      const key = `${plan.outbox}: ${death}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  return counts;
}

/** Points at which nothing died: they showed nothing. */
export function missedPoints({ deaths }: CrashReport, outboxes: readonly OutboxKind[]): string[] {
  return outboxes.flatMap((outbox) =>
    POINTS[outbox].map((point: Point) => `${outbox}: ${point}`).filter((key) => !deaths.has(key)),
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
