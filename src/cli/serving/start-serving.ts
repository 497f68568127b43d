// The one place where the parts of a server are put together: storage, notary, gRPC edge.

import { setTimeout as sleep } from 'node:timers/promises';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { fastHasher } from '../../merkle/fast.ts';
import { createNotary } from '../../notary/create-notary.ts';
import { createSeedSigning } from '../../notary/seed-signing.ts';
import type { Notary, Registry } from '../../notary/service.ts';
import type { Signing } from '../../notary/signing.ts';
import { createPostgresStorage, type PostgresStorage } from '../../postgres/storage.ts';
import { createNotaryServer } from '../../server/index.ts';
import type { ServeConfiguration, TlsIdentity } from '../config/serve-configuration.ts';
import { formatAddress } from '../config/values.ts';
import { CliError } from '../error.ts';
import { untilReachable } from '../until-reachable.ts';
import { logLineageChange, watchDatabase } from './watch-database.ts';

export interface Serving {
  /** `host:port`, with the port that it has. */
  readonly address: string;
  readonly notary: Notary;
  readonly registry: Registry;
  /** Answers calls in flight for as long as the configuration grants, then closes everything. */
  stop(): Promise<void>;
}

/** With the default grace before it and the two seconds of main.ts after it, less than the 30 s that Kubernetes gives. */
const CLOSE_DATABASE_MS = 2_000;

/**
 * Reaches and checks the database, listens, and only then says that it is healthy.
 *
 * @param signing by default with keys derived from the configured seed
 * @throws {CliError}
 */
export async function startServing(
  configuration: ServeConfiguration,
  logger: Logger,
  signing: Signing = createSeedSigning(configuration.masterSeed),
): Promise<Serving> {
  const stopping = new AbortController();
  const storage = createPostgresStorage({
    databaseUrl: configuration.databaseUrl,
    poolSize: configuration.databasePoolSize,
    namedStatements: configuration.namedStatements,
    answerTimeoutMs: configuration.databaseTimeoutMs,
    onIdleError: (error) => {
      if (!stopping.signal.aborted) logger.warn({ err: error }, 'a database connection broke');
    },
    onLineageChange: (change) => logLineageChange(logger, change),
  });
  try {
    await checkDatabase(storage, configuration, logger);
    const serving = await listen(storage, signing, configuration, logger);
    return {
      ...serving,
      stop() {
        stopping.abort();
        return serving.stop();
      },
    };
  } catch (error) {
    await closeWithin(storage, CLOSE_DATABASE_MS);
    throw error;
  }
}

async function checkDatabase(
  storage: PostgresStorage,
  { databaseStartTimeoutMs, allowUnsafeDatabase }: ServeConfiguration,
  logger: Logger,
): Promise<void> {
  const { refusals, warnings } = await untilReachable(
    () => storage.check({ allowUnsafeDurability: allowUnsafeDatabase }),
    {
      timeoutMs: databaseStartTimeoutMs,
      now: () => performance.now(),
      sleep: (ms) => sleep(ms),
      onWait: (reason) => logger.warn({ reason }, 'waiting for the database'),
    },
  );
  for (const warning of warnings) logger.warn(warning);
  if (refusals.length > 0) throw new CliError('FAILED', refusals.join('\n'));
}

async function listen(
  storage: PostgresStorage,
  signing: Signing,
  configuration: ServeConfiguration,
  logger: Logger,
): Promise<Serving> {
  const { maxLeafCount, maxMessageBytes, memoryBudgetBytes, maxConnectionAgeMs } = configuration;
  const { notary, registry } = createNotary({
    storage,
    signing,
    hasher: fastHasher,
    logger,
    originPrefix: configuration.originPrefix,
  });
  const server = createNotaryServer({
    notary,
    registry,
    logger,
    limits: { maxLeafCount, maxMessageBytes, memoryBudgetBytes, maxConnectionAgeMs },
    reflection: configuration.reflection,
    allowInsecure: configuration.insecureListen,
    ...(configuration.tls === undefined ? {} : { tlsCredentials: credentialsOf(configuration.tls) }),
  });
  const { address } = await bind(server, formatAddress(configuration.listen));
  server.setServing(true);
  const stopWatching = watchDatabase(storage, server, logger);
  return {
    address,
    notary,
    registry,
    async stop() {
      stopWatching();
      await server.shutdown(configuration.shutdownGraceMs);
      await closeWithin(storage, CLOSE_DATABASE_MS);
    },
  };
}

async function bind(
  server: { listen(address: string): Promise<{ readonly address: string }> },
  address: string,
) {
  try {
    return await server.listen(address);
  } catch (error) {
    throw new CliError('FAILED', (error as Error).message, { cause: error });
  }
}

function credentialsOf({ certificateChain, privateKey }: TlsIdentity): ServerCredentials {
  return ServerCredentials.createSsl(null, [
    { cert_chain: Buffer.from(certificateChain), private_key: Buffer.from(privateKey) },
  ]);
}

/** A database that went away must not keep the process; everything that mattered has been answered. */
async function closeWithin(storage: PostgresStorage, timeoutMs: number): Promise<void> {
  const timer = new AbortController();
  const late = sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
  await Promise.race([storage.close(), late]);
  timer.abort();
}
