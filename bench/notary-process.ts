import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { openEmbeddedDatabase } from '../src/cli/dev/embedded-database.ts';
import { startEmbeddedPostgres } from '../src/cli/dev/embedded-postgres.ts';
import { createClient } from '../src/rpc/client.ts';

export interface NotaryProcess {
  /** `127.0.0.1:PORT` of the server. */
  readonly address: string;
  /** Of the role that owns the tables. */
  readonly ownerUrl: string;
  readonly postgresVersion: string;
  createCluster(): Promise<string>;
  stop(): Promise<void>;
}

/** The real thing: Postgres with durable commits, and `quartermaster serve` with its defaults in a process of its own. */
export async function startNotary(): Promise<NotaryProcess> {
  const directory = await mkdtemp(join(tmpdir(), 'quartermaster-bench-'));
  const postgres = await startEmbeddedPostgres({ directory, log: () => undefined });
  const { databaseUrl, ownerUrl } = await openEmbeddedDatabase(postgres, { directory, log: () => undefined });
  const server = spawn(process.execPath, [join(import.meta.dirname, '../bin/quartermaster.js'), 'serve'], {
    env: {
      ...process.env,
      QUARTERMASTER_LISTEN: '127.0.0.1:0',
      QUARTERMASTER_ORIGIN_PREFIX: 'bench.example.org/quartermaster',
      QUARTERMASTER_SEED: randomBytes(32).toString('hex'),
      QUARTERMASTER_DATABASE_URL: databaseUrl,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const address = await firstAddress(server.stdout);
  const registry = createClient(QuartermasterRegistry, address);
  return {
    address,
    ownerUrl,
    postgresVersion: await versionOf(ownerUrl),
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

async function versionOf(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ version: string }>('SELECT current_setting($1) AS version', [
    'server_version',
  ]);
  await client.end();
  return `PostgreSQL ${rows[0]?.version ?? '?'}`;
}
