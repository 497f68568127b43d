/**
 * What the notary can do on this machine, beside what the machine could do without it: Postgres with durable commits, servers
 * and clients in processes of their own, all on the same cores. Prints Markdown for docs/performance.md on stdout and progress
 * on stderr.
 *
 * Rows of a table are measured in turns (every row once, then all again), and the median of the turns is printed: machines
 * drift.
 */
import { availableParallelism, cpus } from 'node:os';
import { InvalidArgumentError } from 'commander';
import { developerCommand } from '../scripts/developer-command.ts';
import { parseCount } from '../src/cli/options.ts';
import { batchesSection, singleSection } from './sections/anchors.ts';
import { gatewaySection } from './sections/gateway.ts';
import { growthSection } from './sections/growth.ts';
import { proofsSection } from './sections/proofs.ts';
import { replicasSection } from './sections/replicas.ts';
import { stallsSection } from './sections/stalls.ts';
import { Setting } from './setting.ts';
import { measureInTurns, render, renderTargets, type Section, type Target } from './table.ts';

interface Options {
  readonly only?: readonly string[];
  readonly seconds: number;
  readonly turns: number;
  readonly anchors: number;
  readonly profile?: string;
}

const SECTIONS: Readonly<Record<string, (setting: Setting, options: Options) => Section | Promise<Section>>> =
  {
    single: singleSection,
    batches: batchesSection,
    proofs: proofsSection,
    stalls: stallsSection,
    gateway: gatewaySection,
    replicas: replicasSection,
    growth: (setting, { anchors }) => growthSection(setting, anchors),
  };
const PARTS = Object.keys(SECTIONS);

const count = parseCount(1, Number.MAX_SAFE_INTEGER);

const options = developerCommand('bench', 'Speed beside the limits of the machine, as Markdown.')
  .option('--only <parts>', `some of ${PARTS.join(',')}; default: all`, parseParts)
  .option('--seconds <count>', 'how long each row is measured in each turn, after 1.5 s of warm-up', count, 4)
  .option('--turns <count>', 'how often each row is measured', count, 3)
  .option('--anchors <count>', 'how many anchors the log of the part growth holds', count, 1_000_000)
  .option('--profile <dir>', 'write a CPU profile of the server there')
  .parse()
  .opts<Options>();
const { only = PARTS, seconds, turns, profile } = options;

const setting = await Setting.start({ measureMs: seconds * 1000, profileDirectory: profile });
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void setting.stop().finally(() => process.exit(1)));
}
try {
  console.log(
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node.js ${process.version}; ${setting.postgres.version}, fsync on. Client,
server and Postgres on the same machine; median of ${turns} turns of ${seconds} s.
`,
  );
  const targets: Target[] = [];
  for (const name of only) {
    const section = await SECTIONS[name]?.(setting, options);
    if (section === undefined) continue;
    const results = await measureInTurns(section, turns);
    console.log(render(section, results));
    targets.push(...(section.targets?.(results) ?? []));
  }
  console.log(renderTargets(targets));
} finally {
  await setting.stop();
}

function parseParts(text: string): readonly string[] {
  const parts = text.split(',');
  const unknown = parts.filter((part) => !PARTS.includes(part));
  if (unknown.length > 0) throw new InvalidArgumentError(`There is no part ${unknown.join(', ')}.`);
  return parts;
}
