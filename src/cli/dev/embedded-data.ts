import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processCommand, waitForEnd } from '../../exclusive/running-process.ts';
import type { EmbeddedBinaries } from './embedded-binaries.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { giveTo, type PostgresUser, spawnAs } from './embedded-user.ts';

const DRAFT_PREFIX = 'initdb-';

/**
 * Makes the data directory where there is none. initdb works in a sibling that is renamed when it has ended, so that a data
 * directory is complete or not there; what an interrupted one left is removed.
 */
export async function createDataDirectory(
  binaries: EmbeddedBinaries,
  user: PostgresUser,
  directory: string,
  password: string,
): Promise<string> {
  for (const name of await readdir(directory)) {
    if (name.startsWith(DRAFT_PREFIX)) await rm(join(directory, name), { recursive: true, force: true });
  }
  const data = join(directory, 'data');
  if (await exists(data)) return data;

  const draft = await mkdtemp(join(directory, DRAFT_PREFIX));
  const passwordFile = join(draft, 'password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
  await giveTo(user, passwordFile);
  await giveTo(user, draft);
  await initdb(binaries, user, draft, passwordFile);
  await rename(join(draft, 'data'), data);
  await syncDirectory(directory);
  await rm(draft, { recursive: true, force: true });
  return data;
}

/** The superuser's password: random, made once, in a file that only we can read. */
export async function readOrCreatePassword(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const password = randomBytes(24).toString('base64url');
  const draft = `${file}.draft`;
  await writeFile(draft, `${password}\n`, { mode: 0o600, flush: true });
  await chmod(draft, 0o600);
  await rename(draft, file);
  return password;
}

/**
 * Ends a Postgres that still runs on the data directory because the process that started it was killed, and makes sure that a
 * stale postmaster.pid does not keep the next one from starting.
 */
export async function stopLeftOver(data: string, log: (message: string) => void): Promise<void> {
  const file = join(data, 'postmaster.pid');
  const contents = await readFile(file, 'utf8').catch(() => '');
  const newline = contents.indexOf('\n');
  const pid = Number(contents.slice(0, newline));
  if (newline < 0 || !Number.isSafeInteger(pid) || pid <= 0) return;
  if (processCommand(pid)?.includes(data)) {
    log(`stopping the Postgres (process ${pid}) that an earlier run left behind`);
    process.kill(pid, 'SIGINT');
    if (await waitForEnd(pid, 30_000)) return;
    process.kill(pid, 'SIGQUIT');
    if (await waitForEnd(pid, 10_000)) return;
    throw new EmbeddedPostgresError('IN_USE', `Postgres (process ${pid}) runs on ${data} and does not stop.`);
  }
  // The id may belong to somebody else by now, and Postgres then refuses to start. It makes an exception for the id of its own
  // parent, us; the rest of the file must stay, it tells whether backends of the dead server still hold its shared memory.
  const handle = await open(file, 'r+');
  try {
    const repaired = `${process.pid}${contents.slice(newline)}`;
    await handle.truncate(0);
    await handle.write(repaired, 0);
  } finally {
    await handle.close();
  }
}

async function initdb(
  binaries: EmbeddedBinaries,
  user: PostgresUser,
  draft: string,
  passwordFile: string,
): Promise<void> {
  const command = [
    binaries.initdb,
    `--pgdata=${join(draft, 'data')}`,
    `--pwfile=${passwordFile}`,
    '--username=postgres',
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
  ];
  const child = spawnAs(user, command, { cwd: draft, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const collect = (text: string) => {
    output += text;
  };
  child.stdout?.setEncoding('utf8').on('data', collect);
  child.stderr?.setEncoding('utf8').on('data', collect);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    throw new EmbeddedPostgresError('FAILED', `initdb ended with ${code}: ${output.trim().slice(-2_000)}`);
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** A rename is durable once its directory is. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
