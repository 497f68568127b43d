import { randomBytes } from 'node:crypto';
import { expect, test } from '@jest/globals';
import { runChaos } from './run-chaos.ts';
import { FAULT_KINDS } from './schedule.ts';

// Seen red, by the rule in quotes and often by others too, with
// - members answered before storage.append in Sequencer: "every answered anchor is there once, with the answered index"
// - dedup by request_id taken out of the append, the sequencer and the unique index: "no request_id has two anchors"
// - a lost answer taken for success: "checkpoints are consistent with one another"
// - an append that wrote nothing taken for one that did: "every retry gets the first answer"
// - a lost answer taken for a refusal: "no log is refused anchors in the end", and calls that were never answered
// - a checkpoint signed before its append: "only committed heads are signed"
// - created_at taken from the clock alone, which differs from server to server: "created_at never goes back"
// - connections that say nothing never given up: "everything is answered in the end"
// - process.exit(1) on SIGTERM: the ends of the servers.

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
