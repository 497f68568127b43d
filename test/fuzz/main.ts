/**
 * Hostile input for everything that parses. `npm run fuzz` is the long form, a million inputs and more; each target runs in a
 * thread of its own, so that one that hangs is noticed and named.
 *
 * A failure prints the seed and the input; `npm run fuzz -- --seed N --target T --inputs N` is the same run again, `--keep`
 * puts the shrunk input into `test/fuzz/corpus`, which every run feeds in first.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { TARGETS } from './targets.ts';
import { runApart } from './thread.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    target: { type: 'string', multiple: true },
    inputs: { type: 'string', default: '1200000' },
    keep: { type: 'boolean', default: false },
    'no-growth': { type: 'boolean', default: false },
  },
});

const seed = values.seed === undefined ? randomInt(2 ** 31) : wholeNumber('--seed', values.seed);
const inputs = wholeNumber('--inputs', values.inputs);
const unknown = (values.target ?? []).find((name) => !TARGETS.some((target) => target.name === name));
if (unknown !== undefined) {
  throw new Error(`--target ${unknown}: expected one of ${TARGETS.map(({ name }) => name).join(', ')}`);
}
const chosen = TARGETS.filter(({ name }) => values.target?.includes(name) ?? true);
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
    keep: values.keep,
    growth: !values['no-growth'],
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

function wholeNumber(flag: string, text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new Error(`${flag}: expected a whole number, not ${JSON.stringify(text)}`);
}
