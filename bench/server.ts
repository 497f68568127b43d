import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { createClient } from '../src/rpc/client.ts';
import type { EventLoopDelay } from './watch-event-loop.ts';

export interface Server {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  readonly pid: number;
  createClusters(count: number): Promise<string[]>;
  /** The verifier keys of a cluster's log. */
  keysOf(clusterId: string): Promise<string[]>;
  /** Appends that another server was faster with, since the server started. */
  readonly lostRaces: number;
  /** How late its event loop was, since it was last asked. */
  eventLoopDelay(): Promise<EventLoopDelay>;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly databaseUrl: string;
  /** Hex. */
  readonly seed: string;
  /** Where to write a CPU profile when the server ends. */
  readonly profileDirectory?: string | undefined;
  /** Logs at the level debug, which tells lost races. */
  readonly countLostRaces?: boolean;
}

const PROGRAM = join(import.meta.dirname, '../bin/quartermaster.js');
const WATCH = join(import.meta.dirname, 'watch-event-loop.ts');
const LOST_RACE = '"msg":"an append lost a race"';

export const ORIGIN_PREFIX = 'bench.example.org/quartermaster';

/** `quartermaster serve` with its defaults, in a process of its own; its log is read as a collector would. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const profile =
    options.profileDirectory === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${options.profileDirectory}`];
  const child = spawn(process.execPath, [...profile, '--import', WATCH, PROGRAM, 'serve'], {
    env: {
      ...process.env,
      QUARTERMASTER_LISTEN: '127.0.0.1:0',
      QUARTERMASTER_ORIGIN_PREFIX: ORIGIN_PREFIX,
      QUARTERMASTER_SEED: options.seed,
      QUARTERMASTER_DATABASE_URL: options.databaseUrl,
      ...(options.countLostRaces === true ? { QUARTERMASTER_LOG_LEVEL: 'debug' } : {}),
    },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  const killed = () => child.kill('SIGKILL');
  process.once('exit', killed);
  const output = child.stdout;
  if (output === null) throw new Error('a server without output');
  const address = await firstAddress(output);
  let lostRaces = 0;
  output.on('data', (chunk: Buffer) => {
    if (options.countLostRaces !== true) return;
    for (let at = chunk.indexOf(LOST_RACE); at !== -1; at = chunk.indexOf(LOST_RACE, at + 1)) lostRaces++;
  });
  const registry = createClient(QuartermasterRegistry, address);
  const notary = createClient(QuartermasterNotary, address);
  return {
    address,
    pid: child.pid ?? 0,
    async createClusters(count) {
      const clusterIds: string[] = [];
      for (let i = 0; i < count; i++) {
        const { cluster } = await registry.createCluster({ displayName: 'bench' });
        clusterIds.push(cluster?.clusterId ?? '');
      }
      return clusterIds;
    },
    async keysOf(clusterId) {
      const { keys } = await notary.getLog({ clusterId });
      return keys.map(({ vkey }) => vkey);
    },
    get lostRaces() {
      return lostRaces;
    },
    eventLoopDelay: () => askDelay(child),
    async stop() {
      registry.close();
      notary.close();
      process.removeListener('exit', killed);
      child.kill('SIGTERM');
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

async function askDelay(child: ChildProcess): Promise<EventLoopDelay> {
  child.send('report');
  const [delay] = (await once(child, 'message')) as [EventLoopDelay];
  return delay;
}

/** Reads the server's log up to the line that says where it serves. */
function firstAddress(output: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: output });
    lines.on('line', (line) => {
      const { msg, address } = JSON.parse(line) as { msg?: string; address?: string };
      if (msg === 'serving' && address !== undefined) {
        resolve(address);
        lines.close();
        output.resume();
      }
    });
    lines.on('close', () => reject(new Error('the server ended before it served')));
  });
}
