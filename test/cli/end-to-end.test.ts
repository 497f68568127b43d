// The whole path as a newcomer walks it, with the real program in processes of its own.

import { type ChildProcess, type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { temporaryDirectory } from './temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/quartermaster.js', import.meta.url));
const directory = temporaryDirectory();

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Settings of whoever runs the tests must not reach the program. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('QUARTERMASTER_')),
);

function quartermaster(argv: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd: directory, env: { ...environment, ...env } };
    execFile(process.execPath, [PROGRAM, ...argv], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

interface Dev {
  readonly process: ChildProcess;
  readonly address: string;
  readonly clusterId: string;
  readonly steps: readonly (readonly string[])[];
  output(): string;
}

function startDev(): Promise<Dev> {
  return ready(spawn(process.execPath, [PROGRAM, 'dev'], { cwd: directory, env: environment }));
}

/** Waits until it has printed the last of its three commands. */
async function ready(child: ChildProcessWithoutNullStreams): Promise<Dev> {
  let output = '';
  const printed = new Promise<void>((resolve, reject) => {
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
      if (/npx quartermaster verify .*\n/.test(output)) resolve();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('exit', () => reject(new Error(`dev ended early:\n${output}`)));
  });
  await printed;
  const [, address = '', clusterId = ''] =
    /listens on (127\.0\.0\.1:\d+), cluster demo is (\S+)/.exec(output) ?? [];
  const steps = [...output.matchAll(/^ {2}npx quartermaster (.*)$/gm)].map(([, command = '']) =>
    command.split(' ').map((word) => word.replaceAll("'", '')),
  );
  return { process: child, address, clusterId, steps, output: () => output };
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return child.exitCode;
}

async function stop(dev: Dev, signal: NodeJS.Signals): Promise<number | null> {
  dev.process.kill(signal);
  return ended(dev.process);
}

describe('dev, anchor, prove, verify', () => {
  let dev: Dev;
  beforeAll(async () => {
    dev = await startDev();
  }, 120_000);
  afterAll(async () => {
    await stop(dev, 'SIGKILL');
  });

  test('dev says where it listens and what it made', () => {
    expect(dev.output()).toContain('Made a signing seed for this dev server: .quartermaster/seed');
    expect(statSync(join(directory, '.quartermaster/seed')).mode & 0o777).toBe(0o600);
  });

  test('the three commands that it prints work as they stand', async () => {
    expect(dev.steps).toHaveLength(3);
    for (const step of dev.steps) expect(await quartermaster(step)).toMatchObject({ code: 0 });
  });

  test('a line of a log is proven, and one changed byte is refused', async () => {
    const log = join(directory, 'audit.log');
    writeFileSync(log, Array.from({ length: 1_000 }, (_, index) => `event ${index}\n`).join(''));
    const anchored = await quartermaster([
      'anchor',
      '--cluster',
      dev.clusterId,
      '--lines',
      'audit.log',
      '--batch',
      '300',
      '--endpoint',
      dev.address,
      '--json',
    ]);
    expect(JSON.parse(anchored.out)).toMatchObject({ lines: 1_000, anchors: 4, replayed: 0 });

    const prove = [
      'prove',
      '--manifest',
      'audit.log.manifest.jsonl',
      '--line',
      '777',
      '--out',
      'line.tlog-proof',
    ];
    expect(await quartermaster([...prove, '--endpoint', dev.address])).toMatchObject({ code: 0 });

    const keys = await quartermaster(['key', 'show', '--cluster', dev.clusterId, '--endpoint', dev.address]);
    const verify = ['verify', '--receipt', 'line.tlog-proof', '--key', keys.out.trim()];
    expect(await quartermaster([...verify, '--line-text', 'event 776'])).toMatchObject({ code: 0 });
    expect(await quartermaster([...verify, '--file', 'audit.log', '--line', '777'])).toMatchObject({
      code: 0,
    });

    const bytes = readFileSync(log);
    const at = bytes.indexOf('event 776');
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(log, bytes);
    expect(await quartermaster([...verify, '--file', 'audit.log', '--line', '777'])).toMatchObject({
      code: 1,
      err: expect.stringContaining('NOT verified (LEAF_PATH)'),
    });
    expect(
      await quartermaster([
        'anchor',
        '--cluster',
        dev.clusterId,
        '--lines',
        'audit.log',
        '--endpoint',
        dev.address,
      ]),
    ).toMatchObject({
      code: 1,
      err: expect.stringContaining('line 777 of audit.log is no longer what was anchored'),
    });
  }, 60_000);

  // Seen red: with isAlive() of the lock always false.
  test('an anchor run that is killed goes on, and a second one beside it is refused', async () => {
    const log = 'killed.log';
    writeFileSync(
      join(directory, log),
      Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join(''),
    );
    const argv = [
      'anchor',
      '--cluster',
      dev.clusterId,
      '--lines',
      log,
      '--batch',
      '50',
      '--endpoint',
      dev.address,
    ];
    const child = spawn(process.execPath, [PROGRAM, ...argv], {
      cwd: directory,
      env: environment,
      stdio: 'ignore',
    });
    const manifest = join(directory, `${log}.manifest.jsonl`);
    await until(() => existsSync(manifest) && readFileSync(manifest, 'utf8').includes('"type":"anchored"'));
    const beside = await quartermaster(argv);
    child.kill('SIGKILL');
    await ended(child);
    expect(beside).toMatchObject({ code: 1, err: expect.stringContaining('in use by process') });

    appendFileSync(join(directory, log), 'one more\n');
    const rest = JSON.parse((await quartermaster([...argv, '--json'])).out);
    expect(rest.lines_in_all).toBe(20_001);
    expect(rest.lines).toBeLessThan(20_001);
    const lines = readFileSync(manifest, 'utf8')
      .split('\n')
      .filter((text) => text.startsWith('{"line":'))
      .map((text) => (JSON.parse(text) as { line: number }).line);
    expect(lines).toEqual(Array.from({ length: 20_001 }, (_, index) => index + 1));
  }, 120_000);

  test('clusters are created once for a request id, listed, frozen and thawed', async () => {
    const onServer = (...argv: string[]) =>
      quartermaster(['cluster', ...argv, '--endpoint', dev.address, '--json']);
    const requestId = '7d2c1f4e-9b1a-4e4f-8a6b-7c8d0198c7a0';
    const create = ['create', '--name', 'staging', '--request-id', requestId];
    const created = JSON.parse((await onServer(...create)).out);
    expect(created).toMatchObject({ display_name: 'staging', state: 'active' });
    expect(JSON.parse((await onServer(...create)).out)).toEqual(created);
    const cluster = ['--cluster', created.cluster_id];
    expect(JSON.parse((await onServer('freeze', ...cluster, '--reason', 'a test')).out)).toMatchObject({
      state: 'frozen',
    });
    const refused = await quartermaster([
      'anchor',
      ...cluster,
      '--lines',
      '.quartermaster/sample.log',
      '--manifest',
      'frozen.jsonl',
      '--endpoint',
      dev.address,
    ]);
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('FAILED_PRECONDITION') });
    expect(JSON.parse((await onServer('thaw', ...cluster, '--reason', 'over')).out)).toMatchObject({
      state: 'active',
    });
    const listed = (await onServer('list')).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).display_name);
    expect(listed.sort()).toEqual(['demo', 'staging']);
  }, 60_000);

  test('a second dev on the same directory is refused with the reason', async () => {
    expect(await quartermaster(['dev'])).toMatchObject({
      code: 1,
      err: expect.stringMatching(/already running/),
    });
  }, 60_000);

  test('SIGTERM ends it with exit code 0, and the next one has the same cluster, seed and log', async () => {
    const before = readFileSync(join(directory, '.quartermaster/seed'), 'utf8');
    expect(await stop(dev, 'SIGTERM')).toBe(0);
    expect(dev.output()).toMatch(/stopped\n$/);
    // Whoever holds the usual port, ours or another program: the next one takes a free one.
    const holder = createServer().listen(50_051, '127.0.0.1');
    holder.on('error', () => {});
    const next = await startDev();
    try {
      expect(next.address).not.toBe('127.0.0.1:50051');
      expect(next.clusterId).toBe(dev.clusterId);
      expect(readFileSync(join(directory, '.quartermaster/seed'), 'utf8')).toBe(before);
      const again = ['anchor', '--cluster', next.clusterId, '--lines', '.quartermaster/sample.log', '--json'];
      const result = JSON.parse((await quartermaster([...again, '--endpoint', next.address])).out);
      expect(result).toMatchObject({ lines: 0, lines_in_all: 4 });
    } finally {
      holder.close();
      expect(await stop(next, 'SIGINT')).toBe(0);
    }
  }, 120_000);
});

// Seen red: without `exec` in the script, npm stops only the shell between them, and the server and its Postgres live on.
test('npm start passes SIGTERM on, and the database has ended with it', async () => {
  const checkout = fileURLToPath(new URL('../..', import.meta.url));
  const data = join(directory, 'by-npm');
  const npm = await ready(
    spawn('npm', ['start', '--', '--data-dir', data], { cwd: checkout, env: environment }),
  );
  const postmaster = Number(readFileSync(join(data, 'postgres/data/postmaster.pid'), 'utf8').split('\n')[0]);
  npm.process.kill('SIGTERM');
  expect(await ended(npm.process)).toBe(0);
  expect(npm.output()).toMatch(/stopped\n$/);
  expect(() => process.kill(postmaster, 0)).toThrow(/ESRCH/);
}, 120_000);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
