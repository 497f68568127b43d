// `npm run chaos -- --seconds 600 --seed SEED`: the long form, by hand.

import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { isRight, runChaos } from './run-chaos.ts';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    seed: { type: 'string', default: randomBytes(4).toString('hex') },
  },
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) throw new Error(`--seconds ${values.seconds}: a number above 0`);
// What was mounted and started is taken back by 'exit' listeners, which a signal alone would not run.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const report = await runChaos({ seed: values.seed, seconds, print: (line) => console.log(line) });
console.log(isRight(report) ? 'nothing is wrong' : 'something is wrong');
process.exitCode = isRight(report) ? 0 : 1;
