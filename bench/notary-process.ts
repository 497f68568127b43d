import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { startEmbeddedPostgres } from '../src/cli/dev/embedded-postgres.ts';
import { migrate } from '../src/postgres/migrate.ts';
import { createClient } from '../src/rpc/client.ts';

export interface NotaryProcess {
  /** `127.0.0.1:PORT` of the server. */
  readonly address: string;
  /** Of the database's superuser. */
  readonly superuserUrl: string;
  readonly postgresVersion: string;
  createCluster(): Promise<string>;
  stop(): Promise<void>;
}

const APPLICATION_ROLE = 'quartermaster_app';

/** The real thing: Postgres with durable commits, and `quartermaster serve` with its defaults in a process of its own. */
export async function startNotary(): Promise<NotaryProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'quartermaster-bench-'));
  const postgres = await startEmbeddedPostgres({ directory, log: () => undefined });
  const password = randomBytes(16).toString('hex');
  await migrate({
    databaseUrl: postgres.superuserUrl,
    applicationRole: APPLICATION_ROLE,
    applicationPassword: password,
  });
  const databaseUrl = new URL(postgres.superuserUrl);
  databaseUrl.username = APPLICATION_ROLE;
  databaseUrl.password = password;

  const server = spawn(process.execPath, [join(import.meta.dirname, '../bin/quartermaster.js'), 'serve'], {
    env: {
      ...process.env,
      QUARTERMASTER_LISTEN: '127.0.0.1:0',
      QUARTERMASTER_ORIGIN_PREFIX: 'bench.example.org/quartermaster',
      QUARTERMASTER_SEED: randomBytes(32).toString('hex'),
      QUARTERMASTER_DATABASE_URL: databaseUrl.href,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const address = await firstAddress(server.stdout);
  const registry = createClient(QuartermasterRegistry, address);
  return {
    address,
    superuserUrl: postgres.superuserUrl,
    postgresVersion: 'embedded',
    async createCluster() {
      const { cluster } = await registry.createCluster({ displayName: 'bench' });
      return cluster?.clusterId ?? '';
    },
    async stop() {
      registry.close();
      server.kill('SIGTERM');
      if (server.exitCode === null) await once(server, 'exit');
      await postgres.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Reads the server's log up to the line that says where it serves; the rest is read and thrown away, as a collector would. */
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
