import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sharedTemplate } from '../support/database.ts';
import type { OutboxKind } from './plan.ts';
import { missedPoints, runCrashes, summary } from './run-crashes.ts';
import { Stage } from './stage.ts';

const OUTBOXES: readonly OutboxKind[] = ['journal', 'postgres', 'memory'];
const seed = process.env.QM_CRASH_SEED || randomBytes(4).toString('hex');
/** Each outbox meets each of its points once. */
const runs = Number(process.env.QM_CRASH_RUNS || 3 * 12);

let stages: Stage[];
beforeAll(async () => {
  stages = await Promise.all([Stage.open(sharedTemplate()), Stage.open(sharedTemplate())]);
});
afterAll(async () => {
  await Promise.all(stages.map((stage) => stage.close()));
});

test(`gateways that die at every step, seed ${seed}, lose nothing and anchor nothing twice`, async () => {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  print(`to replay: QM_CRASH_SEED=${seed} QM_CRASH_RUNS=${runs} npm run test:crash`);
  const report = await runCrashes(stages, { seed, outboxes: OUTBOXES, runs, print });
  for (const line of summary(report)) print(line);
  expect(report.findings).toEqual([]);
  expect(missedPoints(report, OUTBOXES)).toEqual([]);
});
