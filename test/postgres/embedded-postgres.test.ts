import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { findEmbeddedBinaries } from '../../src/cli/dev/embedded-binaries.ts';
import { createDataDirectory } from '../../src/cli/dev/embedded-data.ts';
import { openEmbeddedDatabase } from '../../src/cli/dev/embedded-database.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/cli/dev/embedded-postgres.ts';
import { choosePostgresUser } from '../../src/cli/dev/embedded-user.ts';
import { isRunning } from '../../src/exclusive/running-process.ts';
import { createPostgresStorage } from '../../src/postgres/storage.ts';
import { makeTemporaryDirectory } from '../support/postgres-server.ts';
import { withClient } from '../support/postgres-template.ts';

let root: string;
let directory: string;
let messages: string[];
let started: EmbeddedPostgres[];
let children: ChildProcess[];

beforeEach(async () => {
  root = await makeTemporaryDirectory();
  directory = join(root, 'postgres');
  messages = [];
  started = [];
  children = [];
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  for (const server of started) await server.stop();
  await rm(root, { recursive: true, force: true });
});

async function start(port = 0): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({
    directory,
    port,
    log: (message) => {
      messages.push(message);
    },
  });
  started.push(server);
  return server;
}

async function remember(server: EmbeddedPostgres): Promise<void> {
  await withClient(server.superuserUrl, (client) => client.query('CREATE TABLE kept AS SELECT 42 AS answer'));
}

async function recall(server: EmbeddedPostgres): Promise<unknown> {
  return await withClient(
    server.superuserUrl,
    async (client) => (await client.query<{ answer: number }>('SELECT answer FROM kept')).rows[0]?.answer,
  );
}

/** Another process that runs the directory's server; resolves to the server's process id. */
async function startElsewhere(): Promise<{ child: ChildProcess; postgresPid: number }> {
  const script = fileURLToPath(new URL('embedded-run.ts', import.meta.url));
  const child = spawn(process.execPath, [script, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  for await (const line of createInterface({ input: child.stdout })) {
    return { child, postgresPid: Number(line) };
  }
  throw new Error('the other process ended without a word');
}

describe('the embedded Postgres', () => {
  test('keeps its data over a stop and a start, durable and behind a password', async () => {
    const first = await start();
    await remember(first);
    await first.stop();
    await first.stop();
    expect(isRunning(first.pid)).toBe(false);

    const second = await start();
    expect(await recall(second)).toBe(42);
    await withClient(second.superuserUrl, async (client) => {
      const { rows } = await client.query(
        `SELECT current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS commit,
           current_setting('listen_addresses') AS address, current_setting('unix_socket_directories') AS sockets`,
      );
      expect(rows[0]).toEqual({ fsync: 'on', commit: 'on', address: '127.0.0.1', sockets: '' });
    });
    const wrong = new URL(second.superuserUrl);
    wrong.password = 'a guess';
    await expect(withClient(wrong.href, async () => {})).rejects.toMatchObject({ code: '28P01' });
    expect((await stat(join(directory, 'superuser-password'))).mode & 0o777).toBe(0o600);
    expect((await stat(second.dataDirectory)).mode & 0o777).toBe(0o700);
    expect(await readFile(join(directory, 'postgres.log'), 'utf8')).toContain('ready to accept connections');
  });

  test('recovers from a kill of the server, and its owner hears of it', async () => {
    const first = await start();
    await remember(first);
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    expect(await readdir(first.dataDirectory)).toContain('postmaster.pid');
    expect(await recall(await start())).toBe(42);
  });

  // Seen red without stopLeftOver.
  test('stops the server that a killed owner left behind, then starts its own', async () => {
    const { child, postgresPid } = await startElsewhere();
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isRunning(postgresPid)).toBe(true);
    const server = await start();
    expect(server.pid).not.toBe(postgresPid);
    expect(isRunning(postgresPid)).toBe(false);
    expect(messages.join()).toContain(`process ${postgresPid}`);
  });

  // Seen red without assertEnded in takeOwnership, as is the next one.
  test('refuses a second owner of its directory, in this process and in another, and leaves the first alone', async () => {
    const { child, postgresPid } = await startElsewhere();
    await expect(start()).rejects.toMatchObject({
      code: 'IN_USE',
      message: expect.stringContaining(
        `Process ${child.pid} is already running the database in ${directory}`,
      ),
    });
    expect(isRunning(postgresPid)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await start();
    await expect(start()).rejects.toMatchObject({ code: 'IN_USE' });
  });

  test('lets one of several newcomers take over what a killed owner left', async () => {
    const { child } = await startElsewhere();
    child.kill('SIGKILL');
    await once(child, 'exit');
    const results = await Promise.allSettled([start(), start(), start()]);
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'IN_USE' });
    }
  });

  // Seen red without `detached`.
  test('is not in the process group that Ctrl-C reaches', async () => {
    const { child, postgresPid } = await startElsewhere();
    const stats = await readFile(`/proc/${postgresPid}/stat`, 'utf8').catch(() => undefined);
    // proc_pid_stat(5): after the name come state, parent and group. Elsewhere the kill of the group shows it as well.
    if (stats !== undefined) {
      const [, parent, group] = stats.slice(stats.lastIndexOf(')') + 2).split(' ');
      expect(parent).toBe(String(child.pid));
      expect(group).toBe(String(postgresPid));
    }
    expect(isRunning(postgresPid)).toBe(true);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isRunning(postgresPid)).toBe(true);
    await start();
  });

  test('takes another port when its own is taken', async () => {
    const squatter = createServer();
    squatter.listen(0, '127.0.0.1');
    await once(squatter, 'listening');
    const address = squatter.address();
    const taken = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const server = await start(taken);
    expect(server.port).not.toBe(taken);
    await remember(server);
    squatter.close();
    await server.stop();
    expect((await start(taken)).port).toBe(taken);
  });

  test('starts anew after an initdb that was interrupted', async () => {
    await mkdir(join(directory, 'initdb-killed', 'data', 'base'), { recursive: true });
    await writeFile(join(directory, 'initdb-killed', 'data', 'PG_VERSION'), '18\n');
    await remember(await start());
    expect((await readdir(directory)).sort()).toEqual([
      'data',
      'owner.1',
      'postgres.log',
      'superuser-password',
    ]);
  });

  test('starts although the process id in a stale postmaster.pid belongs to somebody else by now', async () => {
    const first = await start();
    await remember(first);
    process.kill(first.pid, 'SIGKILL');
    await first.exited;
    const file = join(first.dataDirectory, 'postmaster.pid');
    const [, ...rest] = (await readFile(file, 'utf8')).split('\n');
    const bystander = spawn('sleep', ['300'], { stdio: 'ignore' });
    children.push(bystander);
    await writeFile(file, [bystander.pid, ...rest].join('\n'));
    expect(await recall(await start())).toBe(42);
    expect(isRunning(bystander.pid!)).toBe(true);
  });

  test('says so at once when its password file is not the one of its data', async () => {
    await (await start()).stop();
    await writeFile(join(directory, 'superuser-password'), 'another\n');
    await expect(start()).rejects.toMatchObject({
      code: 'FAILED',
      message: expect.stringContaining('superuser-password'),
    });
    // Seen red when the failure was told before the server had ended.
    await expect(stat(join(directory, 'data', 'postmaster.pid'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  // Seen red as root without the securebits: initdb asks access(2), which forgets capabilities.
  test('makes a database with binaries below a directory that only we can enter', async () => {
    const closed = await makeTemporaryDirectory(0o700);
    try {
      const installed = findEmbeddedBinaries();
      const native = dirname(dirname(installed.initdb));
      await cp(native, join(closed, 'native'), { recursive: true, verbatimSymlinks: true });
      const moved = (path: string) => join(closed, 'native', relative(native, path));
      const binaries = {
        postgres: moved(installed.postgres),
        initdb: moved(installed.initdb),
      };
      const user = await choosePostgresUser(binaries, closed);
      const data = await createDataDirectory(binaries, user, closed, 'secret');
      expect((await readFile(join(data, 'PG_VERSION'), 'utf8')).trim()).toBe('18');
    } finally {
      await rm(closed, { recursive: true, force: true });
    }
  });

  // As root the server runs as another user, who cannot enter this directory; as an ordinary user it is that user's own. Seen red
  // as root without the ambient capability.
  test('runs below a directory that only we can enter, never as root', async () => {
    const closed = await makeTemporaryDirectory(0o700);
    try {
      directory = join(closed, 'clone', '.quartermaster', 'postgres');
      await mkdir(join(closed, 'clone'), { mode: 0o700 });
      const server = await start();
      await remember(server);
      const { uid } = await stat(server.dataDirectory);
      if (process.getuid?.() === 0) expect(uid).toBeGreaterThan(0);
      else expect(uid).toBe(process.getuid?.());
      expect((await stat(closed)).mode & 0o777).toBe(0o700);
      await server.stop();
      expect(await recall(await start())).toBe(42);
      await started.at(-1)!.stop();
    } finally {
      await rm(closed, { recursive: true, force: true });
    }
  });

  test('gives a migrated database that a storage can be opened on, again after a restart', async () => {
    for (let run = 0; run < 2; run++) {
      const server = await start();
      const { databaseUrl } = await openEmbeddedDatabase(server, { directory, log: () => {} });
      const storage = createPostgresStorage({ databaseUrl });
      expect(await storage.check()).toEqual({ refusals: [], warnings: [] });
      await storage.close();
      await server.stop();
    }
  });
});
