// `npm run crash -- --runs 500 --seed SEED --outbox all`: the long form, by hand.

import { randomBytes } from 'node:crypto';
import { Option } from 'commander';
import { developerCommand } from '../../scripts/developer-command.ts';
import { parseCount } from '../../src/cli/options.ts';
import { startEmbeddedServer } from '../support/postgres-server.ts';
import { createTemplate } from '../support/postgres-template.ts';
import type { OutboxKind } from './plan.ts';
import { runCrashes, summary } from './run-crashes.ts';
import { Stage } from './stage.ts';

/** An application that is not killed shows less. */
const ALL: Readonly<Record<OutboxKind, number>> = { journal: 0.45, postgres: 0.45, memory: 0.1 };

const options = developerCommand(
  'crash',
  'Kills gateways and their notary at every step between an event and its anchor; then what is there is judged.',
)
  .option('--runs <count>', 'how many', parseCount(1, 1_000_000), 500)
  .option('--seed <text>', 'of the plans of all runs: the same ones again; default: at random')
  .addOption(new Option('--outbox <kind>', 'which').choices([...Object.keys(ALL), 'all']).default('all'))
  .option('--only <number>', 'that run of each outbox alone', parseCount(0, 1_000_000))
  .option('--at-once <count>', 'how many at a time', parseCount(1, 64), 2)
  .parse()
  .opts<{
    readonly runs: number;
    readonly seed?: string;
    readonly only?: number;
    readonly outbox: OutboxKind | 'all';
    readonly atOnce: number;
  }>();
// What was started is taken back by 'exit' listeners, which a signal alone would not run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const { outbox, only, atOnce } = options;
const seed = options.seed ?? randomBytes(4).toString('hex');
const shares = Object.entries(outbox === 'all' ? ALL : { [outbox]: 1 });
const runs = Object.fromEntries(shares.map(([kind, share]) => [kind, Math.round(options.runs * share)]));
console.log(`to replay: npm run crash -- --seed ${seed} --runs ${options.runs} --outbox ${outbox}`);
const server = await startEmbeddedServer();
const template = await createTemplate(server.superuserUrl);
const stages = await Promise.all(Array.from({ length: atOnce }, () => Stage.open(template)));
const report = await runCrashes(stages, { seed, runs, only, print: (line) => console.log(line) });
await Promise.all(stages.map((stage) => stage.close()));
await server.stop();
for (const line of summary(report)) console.log(line);
if (report.missed.length > 0) console.log(`nothing died at ${report.missed.join(', ')}`);
console.log(report.findings.length === 0 ? 'nothing is wrong' : 'something is wrong');
process.exitCode = report.findings.length === 0 ? 0 : 1;
