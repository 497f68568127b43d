import { type ChildProcess, execFile, type StdioOptions, spawn } from 'node:child_process';
import { chown, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { EmbeddedBinaries } from './embedded-binaries.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';

const run = promisify(execFile);

/** Who runs Postgres, and how: it refuses to run as root. */
export interface PostgresUser {
  /** undefined: as whoever we are. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  /** Put before every command line. */
  readonly prefix: readonly string[];
}

/**
 * As an ordinary user, Postgres runs as that user. As root it runs as `postgres`, else `nobody`. Where that user cannot enter
 * the directory or read the binaries (a clone below a directory of mode 0700, such as /root), it gets the one capability that
 * overrides file permissions, through setpriv(1).
 */
export async function choosePostgresUser(
  binaries: EmbeddedBinaries,
  directory: string,
): Promise<PostgresUser> {
  if (process.getuid?.() !== 0) return { ids: undefined, prefix: [] };
  const ids = await unprivilegedIds();
  const plain: PostgresUser = { ids, prefix: [] };
  if ((await reach(plain, binaries, directory)) === undefined) return plain;

  const capability: PostgresUser = {
    ids: undefined,
    prefix: [
      'setpriv',
      `--reuid=${ids.uid}`,
      `--regid=${ids.gid}`,
      '--clear-groups',
      '--inh-caps=+dac_override',
      '--ambient-caps=+dac_override',
      // access(2) drops the capabilities of whoever is not root without this, and the binaries look for one another with it.
      // What setpriv itself keeps by it is gone with the next exec, but for the ambient one.
      '--securebits=+no_setuid_fixup',
    ],
  };
  const failure = await reach(capability, binaries, directory);
  if (failure === undefined) return { ...capability, ids };
  throw new EmbeddedPostgresError(
    'NO_PERMISSION',
    `Postgres does not run as root, and user id ${ids.uid} can reach neither ${directory} nor ${binaries.postgres}, or one of them. ` +
      'Going round that needs setpriv (package util-linux) and the capability CAP_DAC_OVERRIDE. ' +
      'Move the checkout out of the private directory, or run as an ordinary user.',
    { cause: failure },
  );
}

/** Starts a command as the user that runs Postgres. */
export function spawnAs(
  user: PostgresUser,
  command: readonly string[],
  options: { readonly cwd: string; readonly stdio: StdioOptions; readonly detached?: boolean },
): ChildProcess {
  const [file = '', ...args] = [...user.prefix, ...command];
  const ids = user.prefix.length === 0 ? user.ids : undefined; // setpriv changes the ids itself
  // No inherited PG* variable may change what is started; messages stay English, as they are read.
  const env = { PATH: process.env.PATH ?? '', TZ: 'UTC', LC_ALL: 'C' };
  return spawn(file, args, { ...options, ...ids, env });
}

/** Gives a file or directory that we created to the user that runs Postgres. */
export async function giveTo(user: PostgresUser, path: string): Promise<void> {
  if (user.ids !== undefined) await chown(path, user.ids.uid, user.ids.gid);
}

/** undefined where the user can enter the directory, run the binaries and read what they read; else what went wrong. */
async function reach(
  user: PostgresUser,
  binaries: EmbeddedBinaries,
  directory: string,
): Promise<Error | undefined> {
  // initdb looks for postgres, for its own user and for the files it reads, and with --show makes nothing.
  const script = 'cd "$1" && exec "$2" --show -D "$1/data"';
  const child = spawnAs(user, ['/bin/sh', '-c', script, 'sh', directory, binaries.initdb], {
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let message = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    message += text;
  });
  return await new Promise((resolve) => {
    child.once('error', resolve);
    child.once('close', (code) =>
      resolve(code === 0 ? undefined : new Error(message.trim() || `exit code ${code}`)),
    );
  });
}

async function unprivilegedIds(): Promise<{ uid: number; gid: number }> {
  for (const name of ['postgres', 'nobody']) {
    const ids = await lookUp(name);
    if (ids !== undefined) return ids;
  }
  throw new EmbeddedPostgresError(
    'NO_PERMISSION',
    'Postgres does not run as root, and this machine has neither a user "postgres" nor "nobody".',
  );
}

async function lookUp(name: string): Promise<{ uid: number; gid: number } | undefined> {
  let line: string | undefined;
  try {
    line = (await run('getent', ['passwd', name])).stdout;
  } catch {
    // No getent (musl, macOS), or no such user there.
    const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
    line = passwd.split('\n').find((each) => each.startsWith(`${name}:`));
  }
  const [, , uid, gid] = line?.trim().split(':') ?? [];
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) };
}
