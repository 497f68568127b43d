import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { createClient } from '../../src/rpc/client.ts';
import type { NotaryClient } from '../integration/notary-under-test.ts';
import type { Ended } from '../integration/server-process.ts';

const AGENT = [join(import.meta.dirname, '../../bin/quartermaster.js'), 'agent'];

export interface AgentLine {
  readonly msg: string;
  readonly [key: string]: unknown;
}

export interface AgentProcess {
  readonly address: string;
  readonly notary: NotaryClient;
  readonly pid: number;
  /** Everything that was logged. */
  lines(): AgentLine[];
  /** The first line that fits, once there is one. */
  line(fits: (line: AgentLine) => boolean): Promise<AgentLine>;
  /** Sends the signal and waits until the process is gone; again is harmless. */
  kill(signal: NodeJS.Signals): Promise<Ended>;
}

export interface AgentProcessOptions {
  /** of the notary */
  readonly endpoint: string;
  readonly spool: string;
  readonly listen?: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly argv?: readonly string[];
}

/** `quartermaster agent`, the real program, once it says that it serves. @throws where it ends before that */
export async function startAgentProcess(options: AgentProcessOptions): Promise<AgentProcess> {
  const child = spawn(process.execPath, [...AGENT, ...(options.argv ?? [])], {
    env: {
      PATH: process.env.PATH ?? '',
      QUARTERMASTER_ENDPOINT: options.endpoint,
      QUARTERMASTER_SPOOL_DIR: options.spool,
      QUARTERMASTER_AGENT_LISTEN: options.listen ?? '127.0.0.1:0',
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  killWithUs(child);
  const log = new AgentLog();
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    log.add(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const serving = await Promise.race([
    log.find(({ msg }) => msg === 'serving'),
    ended.then((end) => {
      throw new Error(`agent ended with ${end.code}: ${end.stdout}${end.stderr}`);
    }),
  ]);
  const address = String(serving.address);
  const notary = createClient(QuartermasterNotary, address);
  return {
    address,
    notary,
    pid: child.pid ?? 0,
    lines: () => [...log.lines],
    line: (fits) => log.find(fits),
    kill: async (signal) => {
      child.kill(signal);
      const result = await ended;
      notary.close();
      return result;
    },
  };
}

/** Lines of JSON as they come, and a way to wait for one. */
class AgentLog {
  readonly lines: AgentLine[] = [];
  #rest = '';
  #wake: (() => void)[] = [];

  add(text: string): void {
    const lines = `${this.#rest}${text}`.split('\n');
    this.#rest = lines.pop() ?? '';
    this.lines.push(...lines.map((line) => JSON.parse(line) as AgentLine));
    for (const wake of this.#wake.splice(0)) wake();
  }

  async find(fits: (line: AgentLine) => boolean): Promise<AgentLine> {
    for (;;) {
      const line = this.lines.find(fits);
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}

/** A test that fails half-way must not leave an agent behind. */
function killWithUs(child: ChildProcess): void {
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.removeListener('exit', kill));
}
