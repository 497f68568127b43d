import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import type { ServerCredentials } from '@grpc/grpc-js';
import { pino } from 'pino';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { fastHasher } from '../../src/merkle/fast.ts';
import { createNotary } from '../../src/notary/create-notary.ts';
import { createSeedSigning } from '../../src/notary/seed-signing.ts';
import type { Signing } from '../../src/notary/signing.ts';
import { createPostgresStorage } from '../../src/postgres/storage.ts';
import { type Client, createClient } from '../../src/rpc/client.ts';
import { createNotaryServer, type NotaryServerOptions } from '../../src/server/index.ts';
import { NAMED_STATEMENTS } from '../support/pgbouncer.ts';

export const ORIGIN_PREFIX = 'log.example.org/integration';

export type NotaryClient = Client<(typeof QuartermasterNotary)['method']>;
export type RegistryClient = Client<(typeof QuartermasterRegistry)['method']>;

export interface Clients {
  /** `127.0.0.1:port` */
  readonly address: string;
  readonly notary: NotaryClient;
  readonly registry: RegistryClient;
}

export function connectClients(address: string): Clients & { close(): void } {
  const notary = createClient(QuartermasterNotary, address);
  const registry = createClient(QuartermasterRegistry, address);
  return {
    address,
    notary,
    registry,
    close: () => {
      notary.close();
      registry.close();
    },
  };
}

export interface NotaryUnderTest extends Clients {
  readonly port: number;
  readonly seed: Uint8Array;
  /** Every note text that was signed, in order. */
  readonly signed: readonly string[];
  /** Everything that was logged, as JSON lines. */
  logText(): string;
  stop(): Promise<void>;
}

export interface NotaryUnderTestOptions {
  readonly databaseUrl: string;
  readonly seed?: Uint8Array;
  readonly limits?: NotaryServerOptions['limits'];
  /** Default: a free port of 127.0.0.1. */
  readonly listen?: string;
  /** With these it speaks TLS, which `notary` and `registry` of what is returned do not. */
  readonly tlsCredentials?: ServerCredentials;
  readonly outcomePatienceMs?: number;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Called before each signature, with what is going to be signed. */
  readonly beforeSigning?: (noteText: string) => Promise<void>;
}

/** The whole server in this process: real gRPC over loopback, real Postgres, and a signing port that remembers. */
export async function startNotary(options: NotaryUnderTestOptions): Promise<NotaryUnderTest> {
  const seed = options.seed ?? new Uint8Array(randomBytes(32));
  const signed: string[] = [];
  const lines: string[] = [];
  const logger = pino(
    { base: null },
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        lines.push(chunk.toString());
        done();
      },
    }),
  );
  const storage = createPostgresStorage({
    databaseUrl: options.databaseUrl,
    connectTimeoutMs: 2_000,
    namedStatements: NAMED_STATEMENTS,
  });
  const { notary, registry } = createNotary({
    storage,
    signing: recorded(createSeedSigning(seed), async (noteText) => {
      signed.push(noteText);
      await options.beforeSigning?.(noteText);
    }),
    hasher: fastHasher,
    logger,
    originPrefix: ORIGIN_PREFIX,
    ...(options.now === undefined ? {} : { now: options.now }),
    ...(options.outcomePatienceMs === undefined ? {} : { outcomePatienceMs: options.outcomePatienceMs }),
  });
  const server = createNotaryServer({
    notary,
    registry,
    logger,
    limits: options.limits ?? {},
    ...(options.tlsCredentials === undefined ? {} : { tlsCredentials: options.tlsCredentials }),
  });
  const { address, port } = await server.listen(options.listen ?? '127.0.0.1:0');
  const clients = connectClients(address);
  return {
    ...clients,
    port,
    seed,
    signed,
    logText: () => lines.join(''),
    stop: async () => {
      clients.close();
      await server.shutdown(1_000);
      await storage.close();
    },
  };
}

function recorded(signing: Signing, beforeSigning: (noteText: string) => Promise<void>): Signing {
  return {
    seedId: signing.seedId,
    headMac: (origin, epoch) => signing.headMac(origin, epoch),
    async logKey(origin, epoch) {
      const signer = await signing.logKey(origin, epoch);
      return {
        key: signer.key,
        async sign(noteText) {
          await beforeSigning(noteText);
          return signer.sign(noteText);
        },
      };
    },
  };
}
