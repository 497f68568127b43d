/**
 * Hostile input for everything that parses. `npm run fuzz` is the long form, a million inputs and more; each target runs in a
 * thread of its own, so that one that hangs is noticed and named.
 *
 * A failure prints the seed and the input; `npm run fuzz -- --seed N --target T --inputs N` is the same run again, `--keep`
 * puts the shrunk input into `test/fuzz/corpus`, which every run feeds in first.
 */
import { randomInt } from 'node:crypto';
import { Option } from 'commander';
import { developerCommand } from '../../scripts/developer-command.ts';
import { parseCount } from '../../src/cli/options.ts';
import { TARGETS } from './targets.ts';
import { runApart } from './thread.ts';

interface Options {
  readonly seed?: number;
  readonly target: readonly string[];
  readonly inputs: number;
  readonly keep?: boolean;
  readonly growth: boolean;
}

const names = TARGETS.map(({ name }) => name);
const options = developerCommand('fuzz', 'Hostile input for everything that parses.')
  .option(
    '--seed <number>',
    'of a run that is to be run again; default: at random',
    parseCount(0, 9_999_999_999),
  )
  .addOption(new Option('--target <names...>', 'only these').choices(names).default(names, 'all'))
  .option('--inputs <count>', 'in all', parseCount(0, 9_999_999_999), 1_200_000)
  .option('--keep', 'put what fails, shrunk, into the corpus')
  .option('--no-growth', 'leave out inputs that grow')
  .parse()
  .opts<Options>();

const { seed = randomInt(2 ** 31), inputs } = options;
const chosen = TARGETS.filter(({ name }) => options.target.includes(name));
const shares = chosen.reduce((sum, { share }) => sum + share, 0);

console.log(`fuzz: seed ${seed}, ${inputs.toLocaleString('en')} inputs`);
const begunAt = performance.now();
let total = 0;
let failed = 0;
for (const { name, share } of chosen) {
  const result = await runApart({
    name,
    seed,
    // Of one target alone all, so that a failure is replayed with the number of inputs that it was found with.
    inputs: chosen.length === 1 ? inputs : Math.ceil((inputs * share) / shares),
    keep: options.keep === true,
    growth: options.growth,
  });
  total += result.inputs;
  const counts = `${result.inputs.toLocaleString('en').padStart(9)} inputs, ${result.accepted.toLocaleString('en').padStart(7)} accepted`;
  const more = `${result.kept} kept, ${result.growth} growths, ${(result.ms / 1000).toFixed(1)} s`;
  console.log(`${name.padEnd(20)} ${counts}, ${more}${result.failure === undefined ? '' : '  FAILED'}`);
  if (result.failure === undefined) continue;
  failed++;
  console.log(result.failure.replaceAll(/^/gm, '    '));
}
const seconds = ((performance.now() - begunAt) / 1000).toFixed(0);
console.log(
  `fuzz: ${total.toLocaleString('en')} inputs in ${seconds} s, ${failed} of ${chosen.length} targets failed`,
);
process.exitCode = failed === 0 ? 0 : 1;
