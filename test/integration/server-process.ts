import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { NAMED_STATEMENTS } from '../support/pgbouncer.ts';
import { type Clients, connectClients, ORIGIN_PREFIX } from './notary-under-test.ts';

const SERVE = [join(import.meta.dirname, '../../bin/quartermaster.js'), 'serve'];

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ServerProcess extends Clients {
  readonly pid: number;
  readonly seed: Uint8Array;
  /** Resolves to what the pattern's group matches on stdout, as soon as it does. */
  output(pattern: RegExp): Promise<string>;
  /** Resolves when the process is gone. */
  readonly ended: Promise<Ended>;
  /** Sends the signal and waits until the process is gone; again is harmless. */
  kill(signal: NodeJS.Signals): Promise<Ended>;
}

export interface ServerProcessOptions {
  readonly databaseUrl: string;
  readonly seed?: Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
  /** What to run instead of this checkout's `quartermaster serve`: a script and its arguments. */
  readonly program?: readonly string[];
}

/** `quartermaster serve`, the real program, once it says that it serves. @throws where it ends before that */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const seed = options.seed ?? new Uint8Array(randomBytes(32));
  const environment = {
    QUARTERMASTER_DATABASE_URL: options.databaseUrl,
    QUARTERMASTER_SEED: Buffer.from(seed).toString('hex'),
    QUARTERMASTER_ORIGIN_PREFIX: ORIGIN_PREFIX,
    QUARTERMASTER_LISTEN: '127.0.0.1:0',
    QUARTERMASTER_NAMED_STATEMENTS: String(NAMED_STATEMENTS),
    ...options.environment,
  };
  const { child, ended, firstOutput } = spawnServe(environment, options.program ?? SERVE);
  const address = await Promise.race([
    firstOutput(/"address":"([^"]+)".*"msg":"serving"/),
    ended.then(({ code, stdout, stderr }) => {
      throw new Error(`serve ended with ${code}: ${stdout}${stderr}`);
    }),
  ]);
  const clients = connectClients(address);
  return {
    ...clients,
    pid: child.pid ?? 0,
    seed,
    output: firstOutput,
    ended,
    kill: async (signal) => {
      child.kill(signal);
      const result = await ended;
      clients.close();
      return result;
    },
  };
}

/** `quartermaster serve` with this environment and no other, for starts that are refused. */
export async function runServe(environment: Readonly<Record<string, string>>): Promise<Ended> {
  const { child, ended } = spawnServe(environment, SERVE);
  // A start that is wrongly not refused would wait for ever.
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const result = await ended;
  clearTimeout(timer);
  return result;
}

function spawnServe(environment: Readonly<Record<string, string>>, command: readonly string[]) {
  const child = spawn(process.execPath, [...command], {
    env: { PATH: process.env.PATH ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  killWithUs(child);
  let stdout = '';
  let stderr = '';
  const listeners = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    for (const listener of listeners) listener();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const firstOutput = (pattern: RegExp) =>
    new Promise<string>((resolve) => {
      const look = () => {
        const found = pattern.exec(stdout)?.[1];
        if (found === undefined) return;
        listeners.delete(look);
        resolve(found);
      };
      listeners.add(look);
      look();
    });
  return { child, ended, firstOutput };
}

/** A test that fails half-way must not leave a server behind. */
function killWithUs(child: ChildProcess): void {
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
}
