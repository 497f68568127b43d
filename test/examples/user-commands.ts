// What a stranger types, and what comes of it.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CHECKOUT = fileURLToPath(new URL('../..', import.meta.url));

/** Settings of whoever runs the tests must not reach what they start. */
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(QUARTERMASTER_|NOTARY_|DATABASE_URL$|PORT$|HOST$)/.test(name),
  ),
);

export interface Place {
  /** below the checkout */
  readonly directory: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command to its end. @param input for its standard input */
export async function run(command: readonly string[], place: Place, input = ''): Promise<Ended> {
  const running = new Running(command, place, input);
  return { code: await running.ended, out: running.out, err: running.err };
}

/** A command that goes on until it is told to end. */
export class Running {
  out = '';
  err = '';
  /** its exit code; null where a signal has ended it */
  readonly ended: Promise<number | null>;
  readonly #process: ChildProcess;
  #wake: () => void = () => {};

  constructor([program = '', ...argv]: readonly string[], { directory, environment }: Place, input = '') {
    const child = spawn(program, argv, {
      cwd: `${CHECKOUT}/${directory}`,
      env: { ...ENVIRONMENT, ...environment },
      // A group of its own: npm, its shell and the program.
      detached: true,
    });
    this.#process = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
      this.#wake();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
    });
    // A program that reads no input may have gone before it was written.
    child.stdin.on('error', () => {}).end(input);
    this.ended = once(child, 'close').then(([code]) => code as number | null);
    void this.ended.then(() => this.#wake());
  }

  /** Waits until it has printed something. @returns the groups of the match */
  async printed(pattern: RegExp): Promise<readonly string[]> {
    for (;;) {
      const match = pattern.exec(this.out);
      if (match !== null) return match.slice(1);
      if (this.#process.exitCode !== null || this.#process.signalCode !== null)
        throw new Error(`it has ended and did not print ${pattern}:\n${this.out}${this.err}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** @returns its exit code */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.#process.kill(signal);
    return await this.ended;
  }

  /** Whatever is left of it, and the Postgres in this directory, which has a session of its own, is gone then. */
  async destroy(postgres: string): Promise<void> {
    kill(-(this.#process.pid ?? 0), 'SIGKILL');
    await this.ended;
    const [pid] = (await readFile(join(postgres, 'data/postmaster.pid'), 'utf8').catch(() => '')).split('\n');
    if (pid) kill(Number(pid), 'SIGQUIT');
  }
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
