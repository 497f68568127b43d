import { execFile } from 'node:child_process';
import { chown, mkdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type pg from 'pg';
import { makeTemporaryDirectory } from '../support/postgres-server.ts';
import { withClient } from '../support/postgres-template.ts';

const run = promisify(execFile);
const BIN = '/usr/lib/postgresql/15/bin';
const INSTALL = join(import.meta.dirname, '../../scripts/install-postgres15');
/** What a host of its own would have, on a machine that carries several. */
const SETTINGS = { listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '100' };

/** A directory that Postgres may write to, and the user that it runs as: it refuses to run as root. */
export class PostgresHost {
  readonly directory: string;
  readonly #user: { readonly uid?: number; readonly gid?: number };

  private constructor(directory: string, user: { readonly uid?: number; readonly gid?: number }) {
    this.directory = directory;
    this.#user = user;
  }

  /** Installs Debian's PostgreSQL 15 where it is missing. */
  static async open(): Promise<PostgresHost> {
    await run(INSTALL, { maxBuffer: 10_000_000 });
    const directory = await makeTemporaryDirectory();
    if (process.getuid?.() !== 0) return new PostgresHost(directory, {});
    const idOf = async (flag: string) => Number((await run('id', [flag, 'postgres'])).stdout);
    return new PostgresHost(directory, { uid: await idOf('-u'), gid: await idOf('-g') });
  }

  async mkdir(name: string): Promise<string> {
    const path = join(this.directory, name);
    await mkdir(path, { mode: 0o700 });
    const { uid, gid } = this.#user;
    if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
    return path;
  }

  /** Runs one of Postgres' programs. */
  async run(program: string, args: readonly string[]): Promise<string> {
    const options = { cwd: this.directory, ...this.#user, maxBuffer: 100_000_000 };
    return (await run(join(BIN, program), [...args], options)).stdout;
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** One PostgreSQL 15 of Debian's packages: the real programs, on a data directory and a port of its own. */
export class DebianPostgres {
  readonly port: number;
  readonly #host: PostgresHost;
  readonly #data: string;
  readonly #kill = () => this.#killPostmaster();
  #postmaster: number | undefined;

  private constructor(host: PostgresHost, data: string, port: number) {
    this.#host = host;
    this.#data = data;
    this.port = port;
  }

  static async initialize(host: PostgresHost, name: string): Promise<DebianPostgres> {
    const data = await host.mkdir(name);
    const options = ['-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
    await host.run('initdb', ['-D', data, ...options]);
    return new DebianPostgres(host, data, await freePort());
  }

  /** A base backup. @param options `-R` and where the primary is found makes it a standby */
  static async copyOf(
    host: PostgresHost,
    name: string,
    from: number,
    options: readonly string[] = [],
  ): Promise<DebianPostgres> {
    const data = await host.mkdir(name);
    const connection = `host=127.0.0.1 port=${from} user=postgres application_name=${name}`;
    await host.run('pg_basebackup', ['-d', connection, '-D', data, '-c', 'fast', '-X', 'stream', ...options]);
    return new DebianPostgres(host, data, await freePort());
  }

  get superuserUrl(): string {
    return `postgres://postgres@127.0.0.1:${this.port}/postgres`;
  }

  async start(): Promise<void> {
    const all = { ...SETTINGS, port: String(this.port) };
    const options = Object.entries(all).map(([name, value]) => `-c ${name}='${value}'`);
    await this.#host.run(
      'pg_ctl',
      this.#arguments('-w', '-l', join(this.#data, 'startup.log'), '-o', options.join(' '), 'start'),
    );
    const [pid] = (await readFile(join(this.#data, 'postmaster.pid'), 'utf8')).split('\n');
    this.#postmaster = Number(pid);
    // A test that fails half-way must not leave a server behind.
    process.once('exit', this.#kill);
  }

  /** At once: nobody is told, nothing is written. Again is harmless. */
  async crash(): Promise<void> {
    if (this.#postmaster === undefined) return;
    await this.#host.run('pg_ctl', this.#arguments('-m', 'immediate', '-w', 'stop'));
    process.removeListener('exit', this.#kill);
    this.#postmaster = undefined;
  }

  /** Resolves when it takes writes, on a new timeline. */
  async promote(): Promise<void> {
    await this.query('SELECT pg_promote()');
  }

  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return await withClient(
      this.superuserUrl,
      async (client) => (await client.query<Row>(text, [...values])).rows,
    );
  }

  #arguments(...rest: readonly string[]): readonly string[] {
    return ['-D', this.#data, '-s', ...rest];
  }

  #killPostmaster(): void {
    try {
      if (this.#postmaster !== undefined) process.kill(this.#postmaster, 'SIGQUIT');
    } catch {
      // It is gone already.
    }
  }
}

/** Free at present, which on loopback it stays. */
async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return address.port;
}
