import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DatabaseTemplate, withClient } from './postgres-template.ts';
import { eventually } from './postgres-waits.ts';

/** The program, where this run is to go through it; Debian's is /usr/sbin/pgbouncer. */
export const PGBOUNCER: string | undefined = process.env.QM_TEST_PGBOUNCER || undefined;

/** Debian 12's PgBouncer, 1.18, loses prepared statements; 1.21 was the first to follow them. */
export const NAMED_STATEMENTS = PGBOUNCER === undefined;

/** So few that even the tests that make one call after the other come by connections that others have used. */
export const SERVER_CONNECTIONS = 3;

/** A pooler in transaction mode before one Postgres, for every database and role of it. */
export interface PgBouncer {
  /** `127.0.0.1:port` */
  readonly address: string;
  /** Of its console; the user is the superuser of the Postgres behind it. */
  readonly consoleUrl: string;
  stop(): Promise<void>;
}

/**
 * Starts one. Roles log in by the verifiers that Postgres keeps of their passwords (`auth_query`), which PgBouncer also passes
 * on to Postgres, so that it needs no password but the superuser's.
 */
async function startPgBouncer(superuserUrl: string, program: string): Promise<PgBouncer> {
  const { hostname, port, username, password } = new URL(superuserUrl);
  const directory = await mkdtemp(join(tmpdir(), 'quartermaster-pgbouncer-'));
  const listenPort = await freePort();
  const users = join(directory, 'users');
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(users, `"${username}" "${decodeURIComponent(password)}"\n`);
  await writeFile(
    file,
    `[databases]
* = host=${hostname} port=${port} auth_user=${username}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
admin_users = ${username}
pool_mode = transaction
default_pool_size = ${SERVER_CONNECTIONS}
max_client_conn = 1000
; The next transaction comes by another connection than the last, whatever there is to do.
server_round_robin = 1
; Tests drop, rename and stop what is behind it, and go on at once.
server_login_retry = 0.1
; As advised in docs/pgbouncer.md: two minutes, the default, is how long an outage would go unnoticed.
query_wait_timeout = 5
log_connections = 0
log_disconnections = 0
log_pooler_errors = 0
`,
  );
  // It refuses to run as root; what it reads belongs to the user that it becomes.
  const asRoot = process.getuid?.() === 0;
  if (asRoot) execFileSync('chown', ['-R', 'postgres', directory]);
  const child = spawn(program, ['--quiet', ...(asRoot ? ['--user', 'postgres'] : []), file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = untilEnded(child);
  const consoleUrl = `postgres://${username}:${password}@127.0.0.1:${listenPort}/pgbouncer`;
  await Promise.race([
    eventually(() => withClient(consoleUrl, async () => true as const).catch(() => undefined)),
    ended.then((why) => {
      throw new Error(`PgBouncer did not start: ${why}`);
    }),
  ]);
  return {
    address: `127.0.0.1:${listenPort}`,
    consoleUrl,
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
      process.removeListener('exit', kill);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A pooler before this Postgres where the run goes through poolers, else none. */
export async function startPoolerOfRun(superuserUrl: string): Promise<PgBouncer | undefined> {
  return PGBOUNCER === undefined ? undefined : await startPgBouncer(superuserUrl, PGBOUNCER);
}

/** Databases made from it are reached by way of the pooler, by the application role. */
export function behindPooler(template: DatabaseTemplate, pooler: PgBouncer | undefined): DatabaseTemplate {
  return pooler === undefined ? template : { ...template, pooler: pooler.address };
}

/** The same database, by way of a pooler. */
export function throughPooler(url: string, address: string | undefined): string {
  if (address === undefined) return url;
  const changed = new URL(url);
  changed.host = address;
  return changed.href;
}

/** Of `SHOW STATS_TOTALS`, and what its console tells numbers as: text. */
export interface PoolerTotals {
  readonly database: string;
  readonly xact_count: string;
}

export async function poolerTotals(consoleUrl: string): Promise<readonly PoolerTotals[]> {
  return await withClient(consoleUrl, async (client) => {
    const { rows } = await client.query<PoolerTotals>('SHOW STATS_TOTALS');
    return rows;
  });
}

async function untilEnded(child: ChildProcess): Promise<string> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-10_000);
  });
  return await new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code) => resolve(`exit code ${code}: ${stderr}`));
  });
}

async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
