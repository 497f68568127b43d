// What npm publishes, as its users meet it: packed, installed into empty projects, imported, typed, run.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { verifyReceipt } from '../../src/verify/index.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { installNode, NpmProject } from './npm-project.ts';
import { filledIn, readmeCode } from './readme-lines.ts';

const root = join(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const entryPoints = Object.keys(manifest.exports).map((name) => name.replace('.', 'quartermaster'));
const leastNode = /^>=(22\.\d+\.\d+)$/.exec(manifest.engines.node)?.[1] ?? '';
const LINES = readmeCode('Link it into a gateway');

let directory: string;
let tarball: string;
/** by major version of Node.js: the least that is supported, and the one of this checkout */
const projects = new Map<number, NpmProject>();
const project = (major: number): NpmProject => {
  const found = projects.get(major);
  if (found === undefined) throw new Error(`no project for Node.js ${major}`);
  return found;
};

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'quartermaster-package-'));
  const checkout = new NpmProject(join(directory, 'packed'), process.execPath);
  const [packed, node22] = await Promise.all([
    checkout.npm('pack', root, '--pack-destination', directory),
    installNode(join(directory, 'node22'), leastNode),
  ]);
  expect(packed).toMatchObject({ code: 0 });
  tarball = join(directory, readdirSync(directory).find((name) => name.endsWith('.tgz')) ?? '');
  projects.set(22, new NpmProject(join(directory, 'on22'), node22));
  projects.set(24, new NpmProject(join(directory, 'on24'), process.execPath));
}, 300_000);
afterAll(() => rmSync(directory, { recursive: true, force: true }));

// First: the others use what is installed here. Red when `engines` names an older Node.js than a dependency, when code needs a
// newer one, and when something that is imported is not published.
describe.each([22, 24])('on Node.js %i', (major) => {
  test('the package installs into an empty project, and every dependency says that it runs there', async () => {
    expect((await project(major).run('--version')).stdout).toMatch(`v${major}.`);
    const { code, stderr } = await project(major).install(tarball);
    expect({ code, errors: stderr.match(/^npm (error|ERR!).*$/gm) }).toEqual({ code: 0, errors: null });
  });

  test('every entry point can be imported', async () => {
    project(major).write('all.js', entryPoints.map((name) => `await import('${name}');\n`).join(''));
    expect(await project(major).run('all.js')).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});

// The client and the verifier run on more versions than the server is tested on.
test('the command says which Node.js it needs', async () => {
  const program = project(22).path('node_modules/quartermaster/bin/quartermaster.js');
  expect(await project(22).run(program, '--help')).toEqual({
    code: 2,
    stdout: '',
    stderr: `quartermaster needs Node.js 24 or newer, this is v${leastNode}\n`,
  });
  expect(await project(24).run(program, '--version')).toEqual({
    code: 0,
    stdout: `${manifest.version}\n`,
    stderr: '',
  });
});

// Red when an entry point's types are somewhere else, and when the README misspells a method.
describe('the published package', () => {
  test('has nothing that publint finds wrong', async () => {
    const { code, stdout, stderr } = await project(24).run(
      join(root, 'node_modules/publint/src/cli.js'),
      'run',
      tarball,
      '--strict',
    );
    expect({ code, out: stdout + stderr }).toEqual({ code: 0, out: expect.stringContaining('All good!') });
  });

  test('has types that resolve for ES modules and bundlers', async () => {
    const { code, stdout, stderr } = await project(24).run(
      join(import.meta.dirname, 'check-types.ts'),
      tarball,
    );
    expect({ code, stderr, ...JSON.parse(stdout) }).toEqual({
      code: 0,
      stderr: '',
      entryPoints: Object.keys(manifest.exports),
      problems: [],
    });
  });

  test.each([
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])('compiles in the strictest project with module %s, resolution %s', async (module, moduleResolution) => {
    const name = `${moduleResolution}.ts`;
    project(24).write(
      name,
      `${entryPoints.map((entry, index) => `import * as entry${index} from '${entry}';\n`).join('')}${LINES}
export type All = [${entryPoints.map((_, index) => `typeof entry${index}`).join(', ')}];\n`,
    );
    const { code, stdout } = await project(24).run(
      join(root, 'node_modules/typescript/bin/tsc'),
      ...[
        '--ignoreConfig',
        '--noEmit',
        '--strict',
        '--exactOptionalPropertyTypes',
        '--noUncheckedIndexedAccess',
      ],
      ...['--skipLibCheck', 'false', '--target', 'es2022'],
      ...['--module', module, '--moduleResolution', moduleResolution, name],
    );
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  });
});

describe('what is loaded', () => {
  const SERVER = /\/quartermaster\/dist\/(cli|notary|postgres|server)\//;
  const DRIVERS = /\/node_modules\/(pg|pg-[^/]+|kysely|pino|commander|@grpc\/reflection|grpc-health-check)\//;

  async function loadedBy(name: string): Promise<readonly string[]> {
    project(24).write('one.js', `import '${name}';\n`);
    const { stdout } = await project(24).run(
      '--import',
      join(import.meta.dirname, 'record-modules.js'),
      'one.js',
    );
    return JSON.parse(stdout);
  }

  // Red with an import of pino or kysely, or of src/notary, in what the entry point loads.
  test.each(entryPoints)(
    '%s brings neither a notary nor a database driver nor a logger along',
    async (name) => {
      const loaded = await loadedBy(name);
      expect(loaded.filter((url) => url.includes('/quartermaster/')).length).toBeGreaterThan(0);
      expect(loaded.filter((url) => SERVER.test(url) || DRIVERS.test(url))).toEqual([]);
    },
  );

  test('quartermaster/verify needs no Node.js at all', async () => {
    const loaded = await loadedBy('quartermaster/verify');
    expect(loaded.filter((url) => url.startsWith('node:'))).toEqual([]);
  });
});

describe('against `quartermaster serve` of the same package', () => {
  let database: TestDatabase;
  let server: ServerProcess;
  beforeAll(async () => {
    database = await openTestDatabase();
    const program = project(24).path('node_modules/quartermaster/bin/quartermaster.js');
    server = await startServerProcess({ databaseUrl: database.databaseUrl, program: [program, 'serve'] });
  });
  afterAll(async () => {
    await server?.kill('SIGTERM');
    await database?.close();
  });

  test.each([22, 24])('the lines of the README anchor an event on Node.js %i', async (major) => {
    const { cluster } = await server.registry.createCluster({ displayName: `node ${major}` });
    const clusterId = cluster?.clusterId ?? '';
    project(major).write(
      'lines.js',
      `${filledIn(LINES, { '127.0.0.1:50051': server.address, CLUSTER: clusterId })}
console.log(JSON.stringify({ anchorId, leafIndex, leaf: Buffer.from(leaf).toString('hex') }));\n`,
    );
    const { code, stdout, stderr } = await project(major).run('lines.js');
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringMatching(/error/i) });
    const { anchorId, leafIndex, leaf } = JSON.parse(stdout);

    const { keys } = await server.notary.getLog({ clusterId });
    const { receipt } = await server.notary.getInclusionProof({ clusterId, anchorId, leafIndex });
    if (receipt === undefined) throw new Error('no receipt');
    const verdict = verifyReceipt(
      { ...receipt, logIndex: Number(receipt.logIndex) },
      { leaf: new Uint8Array(Buffer.from(leaf, 'hex')), anchorId, leafIndex },
      { logKeys: keys.map(({ vkey }) => vkey) },
    );
    expect(verdict.clusterId).toBe(clusterId);
  });
});
