import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GenericContainer, Wait } from 'testcontainers';
import { startEmbeddedPostgres } from '../../src/cli/dev/embedded-postgres.ts';

/** A Postgres for tests, and how to get rid of it. */
export interface TestServer {
  readonly superuserUrl: string;
  stop(): Promise<void>;
}

/**
 * The server of a run, by QM_TEST_DATABASE: `embedded` (also when unset), `testcontainers`, or the URL of a superuser of a
 * server that runs already.
 */
export async function startTestServer(
  kind: string = process.env.QM_TEST_DATABASE || 'embedded',
): Promise<TestServer> {
  if (kind === 'embedded') return await startEmbeddedServer();
  if (kind === 'testcontainers') return await startContainer();
  if (/^postgres(ql)?:\/\//.test(kind)) return { superuserUrl: kind, stop: async () => {} };
  throw new Error(`QM_TEST_DATABASE is "${kind}": embedded, testcontainers or a postgres:// URL`);
}

export interface EmbeddedTestServer extends TestServer {
  readonly directory: string;
  readonly dataDirectory: string;
  readonly pid: number;
  /** Stops the server and keeps its data. */
  halt(): Promise<void>;
}

/** An embedded server of one's own, with data that goes away with it: for tests that stop or misconfigure it. */
export async function startEmbeddedServer(): Promise<EmbeddedTestServer> {
  const root = await makeTemporaryDirectory();
  const directory = join(root, 'postgres');
  const server = await startEmbeddedPostgres({ directory, port: 0, log: () => {} });
  return {
    superuserUrl: server.superuserUrl,
    directory,
    dataDirectory: server.dataDirectory,
    pid: server.pid,
    halt: server.stop,
    stop: async () => {
      await server.stop();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** One that the user Postgres runs as can pass through, unlike what mkdtemp makes. */
export async function makeTemporaryDirectory(mode = 0o711): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'quartermaster-test-'));
  await chmod(directory, mode);
  return directory;
}

async function startContainer(): Promise<TestServer> {
  const password = 'only-for-this-test-run';
  const container = await new GenericContainer('postgres:15-bookworm')
    .withEnvironment({ POSTGRES_PASSWORD: password })
    .withExposedPorts(5432)
    // Over TCP: the server that only sets the database up listens on its socket alone.
    .withWaitStrategy(Wait.forSuccessfulCommand('pg_isready --host=127.0.0.1'))
    .withCommand(['postgres', '-c', 'max_connections=200'])
    .start();
  const superuserUrl = `postgres://postgres:${password}@${container.getHost()}:${container.getMappedPort(5432)}/postgres`;
  return {
    superuserUrl,
    stop: async () => {
      await container.stop();
    },
  };
}
