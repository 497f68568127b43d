import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

function run(script: string, argv: readonly string[]) {
  const [, program = ''] = scripts[script]!.split(' ');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...argv], {
    cwd: root,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

// Each of these runs for minutes: a mistake must not start it. Seen red (stacks of Node) when the options were parsed by node:util.
test.each([
  ['bench', '--turns', 'none'],
  ['chaos', '--seconds', '-1'],
  ['fuzz', '--target', 'everything'],
  ['soak', '--minutes', 'ten'],
])(
  'npm run %s tells with --help about %s, and answers %s with one line and exit code 2',
  (script, option, wrong) => {
    const help = run(script, ['--help']);
    expect(help).toMatchObject({ status: 0, stderr: '' });
    expect(help.stdout).toContain(`Usage: npm run ${script} -- [options]`);
    expect(help.stdout).toContain(option);
    expectRefused(script, [option, wrong]);
  },
);

test.each([[['--unknown']], [['surplus']], [['--only', 'everything']], [['--only']]])(
  'npm run bench %j is answered with one line and exit code 2',
  (argv) => expectRefused('bench', argv),
);

function expectRefused(script: string, argv: readonly string[]): void {
  const { status, stdout, stderr } = run(script, argv);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
}
