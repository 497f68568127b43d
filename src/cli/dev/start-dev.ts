// A whole notary for one person: Postgres from npm, tables, seed, server, a cluster to play with.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { loadServeConfiguration, type ServeConfiguration } from '../config/serve-configuration.ts';
import type { Configuration } from '../config/settings.ts';
import { CliError } from '../error.ts';
import { type Serving, startServing } from '../serving/start-serving.ts';
import { makeSampleLog, readOrMakeSeed } from './dev-files.ts';
import { openEmbeddedDatabase } from './embedded-database.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';
import type { DevServer } from './next-steps.ts';

/** Keys of a dev server are worth nothing anywhere else, and their name says so. */
const ORIGIN_PREFIX = 'localhost/quartermaster-dev';
/** The same at every start, so that there is one demo cluster in a database for ever. */
const DEMO_REQUEST_ID = 'd3300000-0000-4000-8000-000000000001';

export interface DevOptions {
  readonly configuration: Configuration<'listen' | 'dataDirectory' | 'shutdownGraceMs' | 'logLevel'>;
  /** False where the address was asked for: then another port would be a surprise. */
  readonly mayTakeOtherPort: boolean;
  readonly logger: Logger;
  readonly say: (text: string) => void;
}

export interface Dev extends DevServer {
  /** Resolves when Postgres has ended, asked or not. */
  readonly databaseEnded: Promise<void>;
  stop(): Promise<void>;
}

/** @throws {CliError} */
export async function startDev(options: DevOptions): Promise<Dev> {
  const { configuration, say } = options;
  const directory = configuration.dataDirectory;
  await makeDirectory(directory);
  const databaseDirectory = join(directory, 'postgres');
  const database = await startDatabase(databaseDirectory, say);
  let serving: Serving | undefined;
  try {
    const seedFile = join(directory, 'seed');
    const { seed, isNew } = await readOrMakeSeed(seedFile);
    if (isNew) say(`Made a signing seed for this dev server: ${seedFile}`);
    const { databaseUrl } = await openEmbeddedDatabase(database, { directory: databaseDirectory, log: say });
    serving = await serve(options, databaseUrl, seed);
    const running = serving;
    return {
      ...(await makeDemo(running, directory)),
      databaseEnded: database.exited,
      async stop() {
        await running.stop();
        await database.stop();
      },
    };
  } catch (error) {
    await serving?.stop();
    await database.stop();
    throw error;
  }
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    // Others may pass through: Postgres runs as another user when we are root.
    await mkdir(directory, { recursive: true, mode: 0o711 });
  } catch (error) {
    throw new CliError('FAILED', `cannot make the data directory ${directory}: ${String(error)}`, {
      cause: error,
    });
  }
}

async function startDatabase(directory: string, say: (text: string) => void): Promise<EmbeddedPostgres> {
  try {
    return await startEmbeddedPostgres({ directory, log: say });
  } catch (error) {
    if (!(error instanceof EmbeddedPostgresError)) throw error;
    throw new CliError(error.code === 'IN_USE' ? 'IN_USE' : 'FAILED', error.message, { cause: error });
  }
}

async function serve(options: DevOptions, databaseUrl: string, masterSeed: Uint8Array): Promise<Serving> {
  const { configuration, logger, mayTakeOtherPort } = options;
  const defaults = loadServeConfiguration(
    {
      flags: { originPrefix: ORIGIN_PREFIX, databaseUrl, reflection: 'true' },
      environment: { QUARTERMASTER_SEED: Buffer.from(masterSeed).toString('hex') },
    },
    () => new Uint8Array(),
  );
  const { listen, shutdownGraceMs, logLevel } = configuration;
  const wanted: ServeConfiguration = { ...defaults, listen, shutdownGraceMs, logLevel };
  try {
    return await startServing(wanted, logger);
  } catch (error) {
    const isTaken = error instanceof CliError && error.message.includes('EADDRINUSE');
    if (!isTaken || !mayTakeOtherPort) throw error;
    return await startServing({ ...wanted, listen: { ...listen, port: 0 } }, logger);
  }
}

async function makeDemo({ notary, registry, address }: Serving, directory: string): Promise<DevServer> {
  const { clusterId } = await registry.createCluster({
    clusterId: undefined,
    displayName: 'demo',
    requestId: DEMO_REQUEST_ID,
    predecessorId: undefined,
  });
  const { keys } = await notary.getLog(clusterId);
  const sampleLog = join(directory, 'sample.log');
  await makeSampleLog(sampleLog);
  return { address, clusterId, vkey: keys.at(-1)?.vkey ?? '', sampleLog };
}
