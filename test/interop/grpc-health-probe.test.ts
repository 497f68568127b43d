import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import {
  type ServerProcess,
  type ServerProcessOptions,
  startServerProcess,
} from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { startEmbeddedServer } from '../support/postgres-server.ts';
import { createTemplate } from '../support/postgres-template.ts';
import { eventually } from '../support/postgres-waits.ts';
import { goBuild } from './go-build.ts';

// The probe that container platforms run, with its exit codes.
// Seen red: with a health service that answers SERVING for ever; without one.

const HEALTHY = 0;
const NO_CONNECTION = 2;
const CALL_FAILED = 3;
const NOT_SERVING = 4;

const TLS = join(import.meta.dirname, '../cli/tls');

let program: string;
let database: TestDatabase;
beforeAll(async () => {
  program = join(await goBuild('go/tools', 'tool'), 'grpc-health-probe');
  database = await openTestDatabase();
});
afterAll(() => database.close());

const started: ServerProcess[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server.kill('SIGKILL');
});

async function start(options: Partial<ServerProcessOptions> = {}): Promise<ServerProcess> {
  const server = await startServerProcess({ databaseUrl: database.databaseUrl, ...options });
  started.push(server);
  return server;
}

function probe(address: string, ...flags: readonly string[]): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    execFile(program, [`-addr=${address}`, ...flags], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr });
    });
  });
}

describe('grpc_health_probe', () => {
  test('passes for the server and for each service, and for no other; and not after the server has gone', async () => {
    const server = await start();
    expect(await probe(server.address)).toMatchObject({ code: HEALTHY, said: 'status: SERVING\n' });
    for (const { typeName } of [QuartermasterNotary, QuartermasterRegistry])
      expect(await probe(server.address, `-service=${typeName}`)).toMatchObject({ code: HEALTHY });
    expect(await probe(server.address, '-service=another')).toMatchObject({ code: CALL_FAILED });
    await server.kill('SIGTERM');
    expect(await probe(server.address)).toMatchObject({ code: NO_CONNECTION });
  });

  test('passes over TLS with the right authority alone', async () => {
    const environment = {
      QUARTERMASTER_TLS_CERT_FILE: join(TLS, 'server.crt'),
      QUARTERMASTER_TLS_KEY_FILE: join(TLS, 'server.key'),
    };
    const server = await start({ environment });
    const flags = ['-tls', `-tls-ca-cert=${join(TLS, 'server.crt')}`, '-tls-server-name=localhost'];
    expect(await probe(server.address, ...flags)).toMatchObject({ code: HEALTHY });
    expect(await probe(server.address, '-tls', '-tls-server-name=localhost')).toMatchObject({
      code: NO_CONNECTION,
    });
    expect(await probe(server.address)).toMatchObject({ code: NO_CONNECTION });
  });

  test('fails while the database is away', async () => {
    const postgres = await startEmbeddedServer();
    try {
      const own = await openTestDatabase(await createTemplate(postgres.superuserUrl));
      const server = await start({ databaseUrl: own.databaseUrl });
      expect(await probe(server.address)).toMatchObject({ code: HEALTHY });
      await own.storage.close();
      await postgres.halt();
      const failed = await eventually(async () => {
        const answer = await probe(server.address);
        return answer.code === HEALTHY ? undefined : answer;
      });
      expect(failed).toMatchObject({ code: NOT_SERVING, said: expect.stringContaining('NOT_SERVING') });
    } finally {
      await postgres.stop();
    }
  });
});
