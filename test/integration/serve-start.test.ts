import { randomBytes } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/cli/dev/embedded-postgres.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { behindPooler, NAMED_STATEMENTS, type PgBouncer, startPoolerOfRun } from '../support/pgbouncer.ts';
import { makeTemporaryDirectory } from '../support/postgres-server.ts';
import { createTemplate } from '../support/postgres-template.ts';
import { HealthProbe } from './health-probe.ts';
import { ORIGIN_PREFIX } from './notary-under-test.ts';
import { runServe, startServerProcess } from './server-process.ts';

// When the real program starts and when it does not, on a Postgres of its own that is stopped and set up badly.

let root: string;
let postgres: EmbeddedPostgres;
let pooler: PgBouncer | undefined;
let database: TestDatabase;

const startPostgres = (port: number, settings: Record<string, string> = {}) =>
  startEmbeddedPostgres({ directory: join(root, 'postgres'), port, log: () => {}, settings });

async function restartPostgres(settings: Record<string, string> = {}): Promise<void> {
  const { port } = postgres;
  await postgres.stop();
  postgres = await startPostgres(port, settings);
}

beforeAll(async () => {
  root = await makeTemporaryDirectory();
  postgres = await startPostgres(0);
  const template = await createTemplate(postgres.superuserUrl);
  pooler = await startPoolerOfRun(postgres.superuserUrl);
  database = await openTestDatabase(behindPooler(template, pooler));
});
afterAll(async () => {
  await database.storage.close();
  await pooler?.stop();
  await postgres.stop();
  await rm(root, { recursive: true, force: true });
});

const environment = (changed: Record<string, string> = {}): Record<string, string> => ({
  QUARTERMASTER_DATABASE_URL: database.databaseUrl,
  QUARTERMASTER_SEED: randomBytes(32).toString('hex'),
  QUARTERMASTER_ORIGIN_PREFIX: ORIGIN_PREFIX,
  QUARTERMASTER_LISTEN: '127.0.0.1:0',
  QUARTERMASTER_DATABASE_START_TIMEOUT: '0s',
  QUARTERMASTER_NAMED_STATEMENTS: String(NAMED_STATEMENTS),
  ...changed,
});

function without(name: string): Record<string, string> {
  const { [name]: _, ...rest } = environment();
  return rest;
}

describe('serve does not start', () => {
  // Seen red with a random seed made where judgeSeed found none: it served.
  test('without a signing seed, and says how to make one', async () => {
    const { code, stdout, stderr } = await runServe(without('QUARTERMASTER_SEED'));
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/no signing seed.*key generate/);
  });

  test('with a seed of another length, and does not print it', async () => {
    const seed = randomBytes(31).toString('hex');
    const { code, stderr } = await runServe(environment({ QUARTERMASTER_SEED: seed }));
    expect(code).toBe(2);
    expect(stderr).toContain('QUARTERMASTER_SEED');
    expect(stderr).not.toContain(seed);
  });

  test('without TLS on an address that others can reach, unless told that this is meant', async () => {
    const { code, stderr } = await runServe(environment({ QUARTERMASTER_LISTEN: '0.0.0.0:0' }));
    expect(code).toBe(2);
    expect(stderr).toMatch(/0\.0\.0\.0.*TLS.*--insecure-listen/);

    const allowed = { QUARTERMASTER_LISTEN: '0.0.0.0:0', QUARTERMASTER_INSECURE_LISTEN: 'true' };
    const server = await startServerProcess({ databaseUrl: database.databaseUrl, environment: allowed });
    expect(server.address).toMatch(/^0\.0\.0\.0:\d+$/);
    expect(await server.kill('SIGTERM')).toMatchObject({ code: 0 });
  });

  test('before its database can be reached, and says so at the end of its patience', async () => {
    const nowhere = new URL(database.databaseUrl);
    nowhere.port = '1';
    const { code, stderr } = await runServe(environment({ QUARTERMASTER_DATABASE_URL: nowhere.href }));
    expect(code).toBe(1);
    expect(stderr).toMatch(/database/);
    expect(stderr).not.toContain(nowhere.password);
  });

  test('on a database without a schema', async () => {
    const empty = new URL(database.superuserUrl);
    empty.pathname = '/postgres';
    const { code, stderr } = await runServe(environment({ QUARTERMASTER_DATABASE_URL: empty.href }));
    expect(code).toBe(1);
    expect(stderr).toMatch(/no schema yet: run "quartermaster migrate"/);
  });

  // Seen red with fsync unchecked.
  test('on a database that may forget commits in a crash', async () => {
    await restartPostgres({ fsync: 'off', synchronous_commit: 'off' });
    const { code, stderr } = await runServe(environment());
    expect(code).toBe(1);
    expect(stderr).toMatch(/fsync is off.*synchronous_commit is off/s);
    await restartPostgres();
  });
});

test('health follows the database, in a server that outlives its outage', async () => {
  const server = await startServerProcess({ databaseUrl: database.databaseUrl });
  const health = new HealthProbe(server.address);
  const watched = health.watch('');
  expect(await watched.next()).toBe('SERVING');
  const { port } = postgres;
  await postgres.stop();
  expect(await watched.next()).toBe('NOT_SERVING');
  postgres = await startPostgres(port);
  expect(await watched.next()).toBe('SERVING');
  await server.registry.createCluster({ displayName: 'after the outage' });
  health.close();
  expect(await server.kill('SIGTERM')).toMatchObject({ code: 0 });
});

// Last: what was a standby is none again only after a promotion.
test('serve does not start on a standby', async () => {
  const { port, dataDirectory } = postgres;
  await postgres.stop();
  await writeFile(join(dataDirectory, 'standby.signal'), '');
  postgres = await startPostgres(port);
  const { code, stderr } = await runServe(environment());
  expect(code).toBe(1);
  expect(stderr).toMatch(/standby; the server needs the primary/);
});
