import { setTimeout as sleep } from 'node:timers/promises';
import { ChannelCredentials } from '@grpc/grpc-js';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { QuartermasterRegistry } from '#gen/quartermaster/v1/registry_pb.js';
import { type Client, createClient, type RpcOptions } from '../../rpc/client.ts';
import type { ClientConfiguration } from '../config/client-configuration.ts';
import { formatAddress } from '../config/values.ts';
import { explainFailure, type Pace, type RetryPolicy, withRetries } from './call.ts';

export type NotaryClient = Client<typeof QuartermasterNotary.method>;
export type RegistryClient = Client<typeof QuartermasterRegistry.method>;

const REAL_PACE: Pace = {
  now: () => performance.now(),
  random: () => Math.random(),
  sleep: (ms) => sleep(ms),
};

/** How long each try of a call waits, unless it is told otherwise. */
const CALL_TIMEOUT_MS = 30_000;

/** A connection for one command; ends with it. */
export class Connection {
  readonly endpoint: string;
  readonly notary: NotaryClient;
  readonly registry: RegistryClient;

  readonly #pace: Pace;

  /** @param say told why it takes long, in one line */
  constructor(configuration: ClientConfiguration, say: (reason: string) => void) {
    this.endpoint = formatAddress(configuration.endpoint);
    const onWait = (error: unknown): void => {
      const explained = explainFailure(error, this.endpoint);
      say(`waiting: ${explained instanceof Error ? explained.message : String(explained)}`);
    };
    this.#pace = { ...REAL_PACE, onWait };
    const credentials = credentialsOf(configuration);
    this.notary = createClient(QuartermasterNotary, this.endpoint, credentials);
    this.registry = createClient(QuartermasterRegistry, this.endpoint, credentials);
  }

  /**
   * One call, with the failure told as a {@link CliError}. Without a policy it is tried once.
   *
   * @param send must pass the options on: without a deadline a server that accepts and says nothing keeps the command for ever
   */
  async call<T>(
    send: (options: RpcOptions) => Promise<T>,
    policy?: RetryPolicy,
    timeoutMs = CALL_TIMEOUT_MS,
  ): Promise<T> {
    const attempt = () => send({ timeoutMs });
    try {
      return await (policy === undefined ? attempt() : withRetries(attempt, policy, this.#pace));
    } catch (error) {
      throw explainFailure(error, this.endpoint);
    }
  }

  close(): void {
    this.notary.close();
    this.registry.close();
  }
}

/** Plain text, unless it is told whom to trust. */
export function credentialsOf({ trustedCertificates }: ClientConfiguration): ChannelCredentials {
  return trustedCertificates === undefined
    ? ChannelCredentials.createInsecure()
    : ChannelCredentials.createSsl(Buffer.from(trustedCertificates));
}

/** Runs a command's work on a connection and closes it whatever happens. */
export async function connected<T>(
  configuration: ClientConfiguration,
  say: (reason: string) => void,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = new Connection(configuration, say);
  try {
    return await work(connection);
  } finally {
    connection.close();
  }
}
