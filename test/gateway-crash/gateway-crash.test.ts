import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { sharedTemplate } from '../support/database.ts';
import { POINTS } from './plan.ts';
import { runCrashes, summary } from './run-crashes.ts';
import { Stage } from './stage.ts';

// Seen red, by the rule in quotes and often by others too, with
// - the outbox told before the application: "each committed event is in one anchor, at one place" (rows without an anchor that
//   no outbox knows are submitted again), "what the application was told is true"
// - request_ids of each process its own: "each committed event is in one anchor, at one place"
// - a batch forgotten whose call failed: the same
// - journal records that count before they are written: "the outbox keeps what it has taken"
// - leaves enqueued outside of the transaction of their row: "nothing is anchored that was not committed"
// - positions that are one off in the rows: "audit_events says where"
// - rows without an anchor read before what the outbox has: "each committed event is in one anchor, at one place".
// Every way in which a run can be wrong is put to the judge in judge.test.ts.

const seed = process.env.QM_CRASH_SEED || randomBytes(4).toString('hex');
/** Each outbox meets each of its points, the one in memory each kind of trouble. */
const RUNS = { journal: POINTS.journal.length, postgres: POINTS.postgres.length, memory: 3 };

let stages: Stage[];
beforeAll(async () => {
  stages = await Promise.all(Array.from({ length: 3 }, () => Stage.open(sharedTemplate())));
});
afterAll(async () => {
  await Promise.all(stages.map((stage) => stage.close()));
});

test(`gateways that die at every step, seed ${seed}, lose nothing and anchor nothing twice`, async () => {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  print(`to replay: QM_CRASH_SEED=${seed} npm run test:crash`);
  const report = await runCrashes(stages, { seed, runs: RUNS, print });
  for (const line of summary(report)) print(line);
  expect(report.findings).toEqual([]);
  expect(report.missed).toEqual([]);
});
