/**
 * What the notary can do on this machine, beside what the machine could do without it: Postgres with durable commits, servers
 * and clients in processes of their own, all on the same cores. Prints Markdown for docs/performance.md on stdout and progress
 * on stderr.
 *
 * Rows of a table are measured in turns (every row once, then all again), and the median of the turns is printed: machines
 * drift.
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { batchesSection, singleSection } from './sections/anchors.ts';
import { growthSection } from './sections/growth.ts';
import { proofsSection } from './sections/proofs.ts';
import { replicasSection } from './sections/replicas.ts';
import { stallsSection } from './sections/stalls.ts';
import { Setting } from './setting.ts';
import { measureInTurns, render, renderTargets, type Section, type Target } from './table.ts';

const HELP = `Usage: npm run bench -- [options]

  --only <parts>       some of single,batches,proofs,stalls,replicas,growth; default: all
  --seconds <count>    how long each row is measured in each turn, after 1.5 s of warm-up; default 4
  --turns <count>      how often each row is measured; default 3
  --anchors <count>    how many anchors the log of the part growth holds; default 1000000
  --profile <dir>      write a CPU profile of the server there
`;

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '4' },
    turns: { type: 'string', default: '3' },
    anchors: { type: 'string', default: '1000000' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit();
}
const turns = wholeNumber('turns', values.turns);
const seconds = wholeNumber('seconds', values.seconds);
const anchors = wholeNumber('anchors', values.anchors);

const SECTIONS: Readonly<Record<string, (setting: Setting) => Section | Promise<Section>>> = {
  single: singleSection,
  batches: batchesSection,
  proofs: proofsSection,
  stalls: stallsSection,
  replicas: replicasSection,
  growth: (setting) => growthSection(setting, anchors),
};
const chosen = values.only?.split(',') ?? Object.keys(SECTIONS);
const unknown = chosen.filter((name) => !(name in SECTIONS));
if (unknown.length > 0) {
  process.stderr.write(`--only: there is no part ${unknown.join(', ')}\n\n${HELP}`);
  process.exit(2);
}

const setting = await Setting.start({ measureMs: seconds * 1000, profileDirectory: values.profile });
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
  for (const name of chosen) {
    const section = await SECTIONS[name]?.(setting);
    if (section === undefined) continue;
    const results = await measureInTurns(section, turns);
    console.log(render(section, results));
    targets.push(...(section.targets?.(results) ?? []));
  }
  console.log(renderTargets(targets));
} finally {
  await setting.stop();
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  process.stderr.write(`--${name}: expected a whole number, not ${text}\n\n${HELP}`);
  process.exit(2);
}
