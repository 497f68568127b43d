// migrate, serve and fsck as an operator runs them: processes of the real program on a database of their own.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { createClient } from '../../src/rpc/client.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const PROGRAM = fileURLToPath(new URL('../../bin/quartermaster.js', import.meta.url));
const directory = temporaryDirectory();
const SEED = '0123456789abcdef'.repeat(4);

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
}, 60_000);
afterAll(async () => {
  await database.close();
});

interface Running {
  readonly process: ChildProcess;
  output(): string;
  readonly ended: Promise<number | null>;
}

function quartermaster(argv: readonly string[], settings: Record<string, string> = {}): Running {
  const ours = Object.entries(process.env).filter(([name]) => !name.startsWith('QUARTERMASTER_'));
  const child = spawn(process.execPath, [PROGRAM, ...argv], {
    cwd: directory,
    env: { ...Object.fromEntries(ours), ...settings },
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { process: child, output: () => output, ended };
}

const settings = (): Record<string, string> => ({
  QUARTERMASTER_SEED: SEED,
  QUARTERMASTER_DATABASE_URL: database.databaseUrl,
  QUARTERMASTER_ORIGIN_PREFIX: 'log.example.org/test',
  QUARTERMASTER_LISTEN: '127.0.0.1:0',
});

/** Waits until the output matches. */
async function printed(running: Running, pattern: RegExp): Promise<RegExpExecArray> {
  for (;;) {
    const match = pattern.exec(running.output());
    if (match !== null) return match;
    const more = once(running.process.stdout!, 'data').then(() => true);
    if (!(await Promise.race([more, running.ended.then(() => false)]))) {
      throw new Error(`ended without ${pattern}:\n${running.output()}`);
    }
  }
}

async function serving(extra: Record<string, string> = {}) {
  const server = quartermaster(['serve'], { ...settings(), ...extra });
  const [, address = ''] = await printed(server, /"address":"(127\.0\.0\.1:\d+)"/);
  return { server, address };
}

test('migrate is harmless again, and says so', async () => {
  const run = quartermaster(['migrate', '--json', '--application-role', database.applicationRole], {
    QUARTERMASTER_MIGRATION_DATABASE_URL: database.ownerUrl,
  });
  expect(await run.ended).toBe(0);
  expect(JSON.parse(run.output())).toEqual({ applied: [], newer: [] });
}, 60_000);

test('serve answers, ends in order at SIGTERM, and fsck finds everything right, then the first thing that is wrong', async () => {
  const { server, address } = await serving();
  const registry = createClient(QuartermasterRegistry, address);
  const notary = createClient(QuartermasterNotary, address);
  const { cluster } = await registry.createCluster({ displayName: 'test' });
  const clusterId = cluster!.clusterId;
  const packedLeaves = new Uint8Array(96).fill(5);
  const { anchorId } = await notary.createAnchor({ clusterId, packedLeaves });
  registry.close();
  notary.close();
  server.process.kill('SIGTERM');
  expect(await server.ended).toBe(0);
  expect(server.output()).toContain('"msg":"stopped"');
  expect(server.output()).not.toContain(SEED);
  expect(server.output()).not.toContain(new URL(database.databaseUrl).password);

  const clean = quartermaster(['fsck', '--json'], settings());
  expect(await clean.ended).toBe(0);
  expect(JSON.parse(clean.output())).toMatchObject({ ok: true, clusters: 1, entries: 1, leaves: 3 });

  await withClient(database.superuserUrl, async (client) => {
    // As an owner of the database could: the triggers are no boundary.
    await client.query('SET session_replication_role = replica');
    await client.query('UPDATE anchor_leaves SET leaves = set_byte(leaves, 40, 6) WHERE anchor_id = $1', [
      anchorId,
    ]);
  });
  const tampered = quartermaster(['fsck', '--cluster', clusterId], settings());
  expect(await tampered.ended).toBe(1);
  expect(tampered.output()).toContain(`quartermaster: cluster ${clusterId}, `);
  expect(tampered.output()).toContain(anchorId);
}, 120_000);

test('serve waits for a database that is not there, for as long as it is told, and ends with 1', async () => {
  const run = quartermaster(['serve'], {
    ...settings(),
    QUARTERMASTER_DATABASE_URL: 'postgres://nobody:hunter2@127.0.0.1:1/none',
    QUARTERMASTER_DATABASE_START_TIMEOUT: '1s',
  });
  expect(await run.ended).toBe(1);
  expect(run.output()).toContain('waiting for the database');
  expect(run.output()).toContain('quartermaster: the database cannot be reached');
  expect(run.output()).not.toContain('hunter2');
}, 60_000);

test('serve ends at once when it is told to while it waits for the database', async () => {
  const run = quartermaster(['serve'], {
    ...settings(),
    QUARTERMASTER_DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
    QUARTERMASTER_DATABASE_START_TIMEOUT: '1h',
  });
  await printed(run, /waiting for the database/);
  run.process.kill('SIGTERM');
  expect(await run.ended).toBe(0);
}, 60_000);

test('serve refuses a wrong seed before it reaches any database', async () => {
  const run = quartermaster(['serve'], { ...settings(), QUARTERMASTER_SEED: 'abc' });
  expect(await run.ended).toBe(2);
  expect(run.output()).toMatch(/^quartermaster: configuration: QUARTERMASTER_SEED: expected 32 bytes/);
}, 60_000);

test('serve says when its port is taken', async () => {
  const { server, address } = await serving();
  const second = quartermaster(['serve'], { ...settings(), QUARTERMASTER_LISTEN: address });
  expect(await second.ended).toBe(1);
  expect(second.output()).toContain(`cannot listen on "${address}"`);
  server.process.kill('SIGINT');
  expect(await server.ended).toBe(0);
}, 60_000);

test('a connection that says nothing does not keep the server beyond its grace', async () => {
  const { server, address } = await serving({ QUARTERMASTER_SHUTDOWN_GRACE: '500ms' });
  // A connection that says nothing at all.
  const socket = connect(Number(address.split(':')[1]), '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  server.process.kill('SIGTERM');
  expect(await server.ended).toBe(0);
  socket.destroy();
}, 60_000);

// Seen red when names were printed as they came.
test('a name that would move the cursor of a terminal is spelled out, and whole in JSON', async () => {
  const { server, address } = await serving();
  const command = async (...argv: string[]): Promise<string> => {
    const run = quartermaster(['cluster', ...argv, '--endpoint', address]);
    expect(await run.ended).toBe(0);
    return run.output();
  };
  const name = 'evil\n\u001b[31m';
  expect(await command('create', '--name', name)).toContain('display_name    evil\\n\\u{1b}[31m\n');
  expect(await command('list')).toContain('active      evil\\n\\u{1b}[31m\n');
  expect(await command('list', '--json')).toContain(JSON.stringify(name));
  server.process.kill('SIGTERM');
  expect(await server.ended).toBe(0);
}, 60_000);
