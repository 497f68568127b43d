// `npm run chaos -- --seconds 600 --seed SEED`: the long form, by hand.

import { randomBytes } from 'node:crypto';
import { developerCommand } from '../../scripts/developer-command.ts';
import { parseCount } from '../../src/cli/options.ts';
import { isRight, runChaos } from './run-chaos.ts';

const { seconds, seed } = developerCommand(
  'chaos',
  'Faults under load; then what was written down is judged.',
)
  .option('--seconds <count>', 'how long', parseCount(1, 1_000_000), 600)
  .option('--seed <text>', 'of the schedule of faults: the same one again; default: at random')
  .parse()
  .opts<{ readonly seconds: number; readonly seed?: string }>();
// What was mounted and started is taken back by 'exit' listeners, which a signal alone would not run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const report = await runChaos({
  seed: seed ?? randomBytes(4).toString('hex'),
  seconds,
  print: (line) => console.log(line),
});
console.log(isRight(report) ? 'nothing is wrong' : 'something is wrong');
process.exitCode = isRight(report) ? 0 : 1;
