import { readLog } from '../gateway/notary-log.ts';
import { vkeyOf } from '../integration/careful-caller.ts';
import type { ApplicationOptions } from './application-options.ts';
import { type Evidence, readRows } from './evidence.ts';
import { type Finding, judge } from './judge.ts';
import { type LivedLife, live } from './life.ts';
import { Trouble } from './notary-process.ts';
import type { LifePlan, Point, RunPlan } from './plan.ts';
import { Report } from './report.ts';
import type { Stage } from './stage.ts';

export interface RunResult {
  readonly plan: RunPlan;
  readonly findings: readonly Finding[];
  /** where it died, each time */
  readonly deaths: readonly (Point | 'at random')[];
  /** times that something took effect on the notary */
  readonly strokes: number;
  readonly events: number;
  /** committed, and not submitted before the death: the window of the journal */
  readonly submittedAgain: number;
}

/** One application from its first life to its last, and the judgement. */
export async function run(stage: Stage, plan: RunPlan): Promise<RunResult> {
  const place = await stage.openApplication();
  try {
    const { clusterId } = place;
    const { notary } = stage;
    const createCluster = () => notary.clients.registry.createCluster({ clusterId, displayName: plan.name });
    if (plan.notary.kind !== 'unknown-cluster') await createCluster();
    const vkey = await vkeyOf(notary.seed, clusterId);
    const options = {
      outbox: plan.outbox,
      databaseUrl: place.databaseUrl,
      journalDirectory: place.journalDirectory,
      reportFile: place.reportFile,
      endpoint: notary.endpoint,
      clusterId,
      vkey,
      maxLeaves: plan.maxLeaves,
      flushIntervalMs: plan.flushIntervalMs,
      inFlight: plan.inFlight,
      segmentBytes: plan.segmentBytes,
    };
    const liveOne = ({ events, end }: LifePlan) =>
      live(
        { ...options, events, isLast: false, dieAt: end.kind === 'point' ? end : undefined },
        end,
        stage.compileCache,
      );

    const trouble = new Trouble(notary, plan.notary);
    await trouble.begin();
    const lives: LivedLife[] = [];
    let last: LivedLife;
    try {
      // What is in memory lives as long as its process: it sees the trouble from its beginning to its end.
      if (plan.outbox === 'memory') {
        const [life] = plan.processes[0] ?? [];
        const living = liveLast(options, life?.events ?? 0, stage.compileCache);
        await trouble.whileLiving(living, life?.end.kind === 'close' ? life.end.afterMs : 0);
        last = await living;
      } else {
        await Promise.all(
          plan.processes.map(async (process, index) => {
            for (const [number, life] of process.entries()) {
              if (index === 0 && number > 0) await trouble.beforeLife();
              lives.push(await liveOne(life));
            }
          }),
        );
        await trouble.end();
        if (plan.notary.kind === 'unknown-cluster') await createCluster();
        last = await liveLast(options, 5, stage.compileCache);
      }
    } finally {
      await trouble.end();
    }

    const evidence: Evidence = {
      plan,
      rows: await readRows(place.database, notary.clients.notary, vkey),
      log: await readLog(notary.clients.notary, clusterId),
      report: new Report(place.reportFile).read(),
      lives,
      last,
    };
    return resultOf(evidence, trouble.strokes);
  } finally {
    await place.close();
  }
}

function liveLast(
  options: Omit<ApplicationOptions, 'events' | 'isLast' | 'dieAt'>,
  events: number,
  compileCache: string,
): Promise<LivedLife> {
  return live({ ...options, events, isLast: true, dieAt: undefined }, undefined, compileCache);
}

function resultOf(evidence: Evidence, strokes: number): RunResult {
  const { plan, report, lives, rows } = evidence;
  const atPoints = report.flatMap((line) => (line.type === 'dying' ? [line.point] : []));
  const outlived = report.filter(({ type }) => type === 'outlived').length;
  const killed = lives.filter(({ signal }) => signal === 'SIGKILL').length - outlived;
  return {
    plan,
    findings: judge(evidence),
    deaths: [...atPoints, ...Array<'at random'>(killed - atPoints.length).fill('at random')],
    strokes,
    events: rows.length,
    submittedAgain: report.filter(({ type }) => type === 'submitted-again').length,
  };
}
