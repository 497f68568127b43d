// A call over TLS from end to end: the real server with a certificate of its own, and commands that trust it, or do not.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startAgentProcess } from '../agent/agent-process.ts';
import { failure } from '../server/edge.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { quartermaster } from './run-quartermaster.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/quartermaster.js', import.meta.url));
const CERTIFICATE = fileURLToPath(new URL('tls/server.crt', import.meta.url));
const KEY = fileURLToPath(new URL('tls/server.key', import.meta.url));
const directory = temporaryDirectory();

let database: TestDatabase;
let server: ChildProcess;
let port: string;

beforeAll(async () => {
  database = await openTestDatabase();
  const argv = ['serve', '--tls-cert-file', CERTIFICATE, '--tls-key-file', KEY];
  // Other machines could reach it, which TLS alone allows.
  argv.push('--listen', '0.0.0.0:0', '--origin-prefix', 'log.example.org/tls');
  const settings = { QUARTERMASTER_SEED: '5'.repeat(64), QUARTERMASTER_DATABASE_URL: database.databaseUrl };
  const started = spawn(process.execPath, [PROGRAM, ...argv], { env: { ...process.env, ...settings } });
  server = started;
  let output = '';
  started.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  port = await new Promise((resolve, reject) => {
    started.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      const [, found] = /"address":"[^"]*:(\d+)","tls":true/.exec(output) ?? [];
      if (found !== undefined) resolve(found);
    });
    started.once('exit', () => reject(new Error(output)));
  });
}, 60_000);

afterAll(async () => {
  if (server.exitCode === null) {
    server.kill('SIGTERM');
    await once(server, 'exit');
  }
  await database.close();
});

const over = (host: string, ...rest: readonly string[]): string[] => [
  ...rest,
  '--endpoint',
  `${host}:${port}`,
];

test.each(['localhost', '127.0.0.1'])(
  'commands that trust the certificate work, at %s',
  async (host) => {
    const trusting = (...argv: string[]) => quartermaster(over(host, ...argv, '--ca-file', CERTIFICATE));
    const created = await trusting('cluster', 'create', '--name', 'tls', '--json');
    expect(created).toMatchObject({ code: 0, err: '' });
    const cluster = (JSON.parse(created.out) as { cluster_id: string }).cluster_id;

    const log = join(directory, `${host}.log`);
    const proof = join(directory, `${host}.tlog-proof`);
    writeFileSync(log, 'a\nb\n');
    const vkey = (await trusting('key', 'show', '--cluster', cluster)).out.trim();
    expect(await trusting('anchor', '--cluster', cluster, '--lines', log, '--key', vkey)).toMatchObject({
      code: 0,
    });
    expect(
      await trusting('prove', '--manifest', `${log}.manifest.jsonl`, '--line', '2', '--out', proof),
    ).toMatchObject({ code: 0 });
    const verified = await quartermaster(['verify', '--receipt', proof, '--key', vkey, '--line-text', 'b']);
    expect(verified).toMatchObject({ code: 0 });
  },
  60_000,
);

test('a certificate that is not trusted, and a call in plain text, are refused with exit code 1', async () => {
  // Valid, and of nobody that this server knows: an authority that every Node has.
  const { rootCertificates } = await import('node:tls');
  const stranger = join(directory, 'stranger.crt');
  writeFileSync(stranger, rootCertificates[0]!);
  for (const argv of [['--ca-file', stranger], []]) {
    const { code, out, err } = await quartermaster(over('127.0.0.1', 'cluster', 'list', ...argv));
    expect({ argv, code, out }).toEqual({ argv, code: 1, out: '' });
    // That it waits, and that it has given up; what OpenSSL says has several lines.
    const told = expect.stringContaining(`no notary answers at 127.0.0.1:${port}`);
    expect(err.split('\n')).toEqual([told, told, '']);
  }
}, 60_000);

test('the agent trusts the certificate, or cannot reach the notary', async () => {
  const clusterId = '0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d';
  const codes = [];
  for (const argv of [['--ca-file', CERTIFICATE], []]) {
    const agent = await startAgentProcess({
      endpoint: `localhost:${port}`,
      spool: join(directory, 'spool'),
      argv,
    });
    codes.push((await failure(agent.notary.getLog({ clusterId }))).code);
    await agent.kill('SIGTERM');
  }
  expect(codes).toEqual(['NOT_FOUND', 'UNAVAILABLE']);
});
