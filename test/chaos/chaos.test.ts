import { randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { runChaos } from './run-chaos.ts';
import { FAULT_KINDS } from './schedule.ts';

const seed = process.env.QM_CHAOS_SEED || randomBytes(4).toString('hex');
const seconds = Number(process.env.QM_CHAOS_SECONDS || 45);

test(`${seconds} s of faults under load, seed ${seed}, lose, fork and double nothing`, async () => {
  const print = (line: string) => process.stdout.write(`${line}\n`);
  const { findings, badEnds, broken, effects, hasDisk } = await runChaos({ seed, seconds, print });
  expect({ findings, badEnds, broken }).toEqual({ findings: [], badEnds: [], broken: [] });
  // A fault that struck nothing showed nothing.
  const missed = FAULT_KINDS.filter((kind) => !((effects.get(kind) ?? 0) > 0));
  expect(missed).toEqual(hasDisk ? [] : ['fill-disk']);
});
