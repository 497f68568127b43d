import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ORIGIN_PREFIX } from '../integration/notary-under-test.ts';
import { CLOCK_SKEW_MS, SIGNATURES_FILE } from './server-environment.ts';
import { signaturesFile } from './signature-log.ts';

const PROGRAM = join(import.meta.dirname, 'serve-recording-signatures.ts');
const SKEWS_MS = [0, 40_000, -40_000];
const GRACE_MS = 3_000;
/** The grace, a few seconds for connections that do not end and for the database, and what a busy machine takes. */
const END_BOUND_MS = GRACE_MS + 8_000;
/** Whoever looks after processes starts them again at once, and a little later when that was too early. */
const RESTART_MS = 300;

export interface ChaosServerOptions {
  readonly index: number;
  readonly databaseUrl: string;
  readonly seed: Uint8Array;
  /** For its log and its signatures. */
  readonly directory: string;
}

/** One replica: a real process on an address that stays, killed, stopped and started again. */
export class ChaosServer {
  readonly index: number;
  readonly address: string;
  readonly #options: ChaosServerOptions;
  #child: ChildProcess | undefined;
  #isClosing = false;
  /** Ends that broke a promise: an exit of its own accord, or a SIGTERM that did not end it in order. */
  readonly badEnds: string[] = [];

  private constructor(options: ChaosServerOptions, port: number) {
    this.index = options.index;
    this.address = `127.0.0.1:${port}`;
    this.#options = options;
  }

  static async start(options: ChaosServerOptions): Promise<ChaosServer> {
    const server = new ChaosServer(options, await freePort());
    await server.startAgain();
    return server;
  }

  /** Resolves when it serves, after as many attempts as that takes. */
  async startAgain(): Promise<void> {
    while (!this.#isClosing) {
      const child = this.#spawn();
      this.#child = child;
      if (await says(child, '"msg":"serving"')) {
        child.once('exit', (code, signal) => {
          // Killed by nobody here: a crash.
          if (signal === null && code !== 0)
            this.badEnds.push(`server ${this.index} ended with code ${code}`);
        });
        return;
      }
      await delay(RESTART_MS);
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || hasEnded(child)) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  /** SIGTERM, which it must obey: exit code 0 within its bound. @returns how many milliseconds that took */
  async terminate(): Promise<number> {
    const child = this.#child;
    if (child === undefined || hasEnded(child)) return 0;
    const sentAt = performance.now();
    const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    child.kill('SIGTERM');
    const stuck = setTimeout(() => {
      this.badEnds.push(`server ${this.index} had not ended ${END_BOUND_MS} ms after SIGTERM`);
      child.kill('SIGKILL');
    }, END_BOUND_MS);
    const [code, signal] = await exited;
    clearTimeout(stuck);
    if (code !== 0 && signal !== 'SIGKILL')
      this.badEnds.push(`server ${this.index} ended with ${code ?? signal} after SIGTERM`);
    return performance.now() - sentAt;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.kill();
  }

  #spawn(): ChildProcess {
    const { index, databaseUrl, seed, directory } = this.#options;
    const child = spawn(process.execPath, [PROGRAM], {
      env: {
        PATH: process.env.PATH ?? '',
        QUARTERMASTER_DATABASE_URL: databaseUrl,
        QUARTERMASTER_SEED: Buffer.from(seed).toString('hex'),
        QUARTERMASTER_ORIGIN_PREFIX: ORIGIN_PREFIX,
        QUARTERMASTER_LISTEN: this.address,
        QUARTERMASTER_DATABASE_POOL_SIZE: '4',
        QUARTERMASTER_DATABASE_TIMEOUT: '3s',
        QUARTERMASTER_SHUTDOWN_GRACE: `${GRACE_MS}ms`,
        [SIGNATURES_FILE]: signaturesFile(directory, index),
        [CLOCK_SKEW_MS]: String(SKEWS_MS[index % SKEWS_MS.length]),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(join(directory, `server-${index}.log`), { flags: 'a' });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.once('close', () => log.end());
    const kill = () => child.kill('SIGKILL');
    process.once('exit', kill);
    child.once('exit', () => process.removeListener('exit', kill));
    return child;
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Whether it says so, rather than end. */
async function says(child: ChildProcess, words: string): Promise<boolean> {
  return await new Promise((resolve) => {
    let tail = '';
    const look = (chunk: Buffer) => {
      tail = (tail + chunk.toString('latin1')).slice(-4_096);
      if (tail.includes(words)) done(true);
    };
    const onExit = () => done(false);
    const done = (result: boolean) => {
      child.stdout?.off('data', look);
      child.off('exit', onExit);
      resolve(result);
    };
    child.stdout?.on('data', look);
    child.once('exit', onExit);
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('not a TCP address');
  return address.port;
}
