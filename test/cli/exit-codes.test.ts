import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { COSIGNATURE_V1, formatTlogProof, formatVkey, keyId } from '../../src/note/index.ts';
import { leavesOf, TestLog } from '../verify/test-log.ts';
import { CLUSTER } from './memory-notary.ts';
import { quartermaster } from './run-quartermaster.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const directory = temporaryDirectory();

const log = new TestLog(CLUSTER, 3);
const leaves = leavesOf(3);
const LEAF = Buffer.from(leaves[1]!).toString('hex');
log.append(leaves);
const receipt = join(directory, 'leaf.tlog-proof');
writeFileSync(receipt, formatTlogProof(log.receipt(0, leaves, 1)));

describe('verify', () => {
  const verify = (...rest: string[]) =>
    quartermaster(['verify', '--receipt', receipt, '--key', log.vkey, ...rest]);

  test('exits with 0 for what is proven, however the event is given', async () => {
    writeFileSync(join(directory, 'event'), 'event 1');
    writeFileSync(join(directory, 'events'), 'event 0\nevent 1\n');
    for (const event of [
      ['--leaf', LEAF],
      ['--line-text', 'event 1'],
      ['--file', join(directory, 'event')],
      ['--file', join(directory, 'events'), '--line', '2'],
    ]) {
      expect(await verify(...event)).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^verified: leaf 1 of 3/),
      });
    }
  });

  test('tells programs in JSON', async () => {
    const { out } = await verify('--leaf', LEAF, '--json');
    expect(JSON.parse(out)).toMatchObject({
      verified: true,
      cluster_id: CLUSTER,
      leaf_index: 1,
      log_index: 0,
    });
    const refused = await verify('--line-text', 'event 2', '--json');
    expect(JSON.parse(refused.out)).toMatchObject({ verified: false, code: 'LEAF_PATH' });
    expect(refused.code).toBe(1);
  });

  test('exits with 1 for what is not proven', async () => {
    const stranger = new TestLog(CLUSTER, 4).vkey;
    const torn = join(directory, 'torn');
    writeFileSync(torn, readFileSync(receipt).subarray(0, 100));
    const binary = join(directory, 'binary');
    writeFileSync(binary, Uint8Array.of(0xff, 0xfe));
    for (const argv of [
      ['--key', log.vkey, '--receipt', receipt, '--line-text', 'event 2'],
      ['--key', log.vkey, '--receipt', receipt, '--leaf', LEAF, '--leaf-index', '2'],
      ['--key', log.vkey, '--receipt', receipt, '--leaf', LEAF, '--anchor', CLUSTER],
      ['--key', stranger, '--receipt', receipt, '--leaf', LEAF],
      ['--key', log.vkey, '--receipt', torn, '--leaf', LEAF],
      ['--key', log.vkey, '--receipt', binary, '--leaf', LEAF],
    ]) {
      const { code, out, err } = await quartermaster(['verify', ...argv]);
      expect({ argv, code, out }).toEqual({ argv, code: 1, out: '' });
      expect(err).toMatch(/^quartermaster: NOT verified[^\n]*\n$/);
    }
  });

  test('exits with 2 for what makes no sense', async () => {
    const publicKey = new Uint8Array(32).fill(9);
    const name = 'witness.example.org';
    const type = COSIGNATURE_V1;
    const witness = formatVkey({ name, type, publicKey, keyId: keyId(name, type, publicKey) });
    for (const argv of [
      ['--key', log.vkey, '--receipt', receipt],
      ['--key', log.vkey, '--receipt', receipt, '--leaf', LEAF, '--line-text', 'x'],
      ['--key', log.vkey, '--receipt', receipt, '--leaf', 'abc'],
      ['--key', log.vkey, '--receipt', receipt, '--leaf', LEAF, '--line', '1'],
      ['--key', 'no key', '--receipt', receipt, '--leaf', LEAF],
      ['--key', witness, '--receipt', receipt, '--leaf', LEAF],
      ['--key', log.vkey, '--receipt', join(directory, 'gone'), '--leaf', LEAF],
      ['--key', log.vkey, '--leaf', LEAF],
    ]) {
      const { code, out } = await quartermaster(['verify', ...argv]);
      expect({ argv, code, out }).toEqual({ argv, code: 2, out: '' });
    }
  });
});

describe('key', () => {
  test('generate prints 32 random bytes as hex', async () => {
    const [first, second] = [
      await quartermaster(['key', 'generate']),
      await quartermaster(['key', 'generate']),
    ];
    expect(first.out).toMatch(/^[0-9a-f]{64}\n$/);
    expect(first.out).not.toBe(second.out);
  });

  test('generate --out makes a file for its owner alone, and never writes over one', async () => {
    const path = join(directory, 'seed');
    expect(await quartermaster(['key', 'generate', '--out', path])).toMatchObject({ code: 0, out: '' });
    const seed = readFileSync(path, 'utf8');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await quartermaster(['key', 'generate', '--out', path])).toMatchObject({
      code: 1,
      err: expect.stringContaining('exists already'),
    });
    expect(readFileSync(path, 'utf8')).toBe(seed);
  });

  test('show derives the golden verifier key from the seed without any network', async () => {
    const golden = JSON.parse(readFileSync(new URL('../golden/values.json', import.meta.url), 'utf8'));
    const { out } = await quartermaster(
      ['key', 'show', '--cluster', golden.clusterId, '--origin-prefix', golden.origin.slice(0, -37)],
      { QUARTERMASTER_SEED: golden.masterSeed },
    );
    expect(out).toBe(
      readFileSync(new URL('../golden/vkey.txt', import.meta.url), 'utf8')
        .trim()
        .concat('\n'),
    );
  });
});

describe('the command line', () => {
  const COMMANDS = [
    ['serve'],
    ['dev'],
    ['migrate'],
    ['key', 'generate'],
    ['key', 'show'],
    ['cluster', 'create'],
    ['cluster', 'list'],
    ['cluster', 'freeze'],
    ['cluster', 'thaw'],
    ['anchor'],
    ['prove'],
    ['verify'],
    ['fsck'],
    ['bench'],
  ];

  test('every command has help with an example', async () => {
    for (const command of COMMANDS) {
      const { code, out } = await quartermaster([...command, '--help']);
      expect({ command, code }).toEqual({ command, code: 0 });
      expect(out).toMatch(new RegExp(`Examples?:\\n( {2}\\$ .*\\n)*.*quartermaster ${command.join(' ')}`));
    }
  });

  test('without a command, and with an unknown one or an unknown flag, it exits with 2', async () => {
    for (const argv of [[], ['frobnicate'], ['verify', '--frobnicate'], ['key'], ['cluster', 'melt']]) {
      expect({ argv, code: (await quartermaster(argv)).code }).toEqual({ argv, code: 2 });
    }
  });

  test('serve without configuration says all that is missing, and exits with 2', async () => {
    const { code, err } = await quartermaster(['serve']);
    expect(code).toBe(2);
    expect(err).toMatch(/no signing seed[\s\S]*ORIGIN_PREFIX[\s\S]*DATABASE_URL/);
  });

  // Seen red when each of these commands gave up at its first mistake.
  test.each([
    [
      ['migrate', '--application-role', 'a b'],
      ['--application-role', '--migration-database-url'],
    ],
    [
      ['cluster', 'list', '--endpoint', 'x', '--ca-file', join(directory, 'gone')],
      ['--endpoint', '--ca-file'],
    ],
    [
      ['cluster', 'list', '--endpoint', 'x', '--ca-file', receipt],
      ['--endpoint', 'no certificate in PEM'],
    ],
    [
      ['key', 'show', '--cluster', CLUSTER, '--origin-prefix', 'a b', '--seed-file', join(directory, 'gone')],
      ['--origin-prefix', '--seed-file'],
    ],
    [
      ['fsck', '--seed-file', join(directory, 'gone')],
      ['--seed-file', '--database-url'],
    ],
  ])('%j tells every mistake at once, and exits with 2', async (argv, mistakes) => {
    const { code, err } = await quartermaster(argv);
    expect(code).toBe(2);
    expect(err.split('\n')).toEqual([
      'quartermaster: configuration:',
      ...mistakes.map((mistake) => expect.stringContaining(mistake)),
      '',
    ]);
  });

  test('an error is one line, and has its stack only at the level debug', async () => {
    const argv = ['anchor', '--cluster', CLUSTER, '--lines', directory];
    expect((await quartermaster(argv)).err).toBe(`quartermaster: ${directory} is no regular file\n`);
    expect((await quartermaster(argv, { QUARTERMASTER_LOG_LEVEL: 'debug' })).err).toContain('    at ');
    // Seen red when a variable that is no setting of ours did the same.
    expect((await quartermaster(argv, { LOG_LEVEL: 'debug' })).err).not.toContain('    at ');
  });

  test('where no notary answers it exits with 1 and names the address', async () => {
    const { code, err } = await quartermaster([
      'cluster',
      'freeze',
      '--cluster',
      CLUSTER,
      '--reason',
      'x',
      '--endpoint',
      '127.0.0.1:1',
    ]);
    expect(code).toBe(1);
    expect(err).toContain('no notary answers at 127.0.0.1:1');
  });

  test('prove does not write over a file that is no proof', async () => {
    const precious = join(directory, 'precious.log');
    writeFileSync(precious, 'history\n');
    const { code } = await quartermaster(['prove', '--manifest', 'm', '--line', '1', '--out', precious]);
    expect(code).toBe(2);
    expect(readFileSync(precious, 'utf8')).toBe('history\n');
  });
});

// Seen red when the error of the stream was thrown: a stack of Node, and not a word of what was wrong.
test('output that cannot be written is told in one line, with exit code 1', () => {
  // A device that is always full; other systems than Linux have none.
  if (!existsSync('/dev/full')) return;
  const program = fileURLToPath(new URL('../../bin/quartermaster.js', import.meta.url));
  const full = openSync('/dev/full', 'w');
  const { status, stderr } = spawnSync(process.execPath, [program, 'key', 'generate'], {
    stdio: ['ignore', full, 'pipe'],
    encoding: 'utf8',
  });
  closeSync(full);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^quartermaster: cannot write the output: ENOSPC[^\n]*\n$/);
});
