import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import type { EmbeddedDatabase } from '../src/cli/dev/embedded-database.ts';
import type { Measured, Pacing } from '../src/cli/load/keep-in-flight.ts';
import { difference, postgresSeconds, processSeconds, spent } from './cost.ts';
import { type LoadClient, startLoadClient } from './load-client.ts';
import type { Load } from './load-worker.ts';
import { type Postgres, startPostgres } from './postgres.ts';
import { type Server, startServer } from './server.ts';
import type { Figures } from './table.ts';

export interface SettingOptions {
  readonly measureMs: number;
  readonly profileDirectory: string | undefined;
}

/** Before each row: the machine has to forget the row before, and a client's code has to be compiled. */
const WARM_UP_MS = 1_500;

/** Everything that rows are measured with: Postgres, a server and its database, clients, and the bare echo beside them. */
export class Setting {
  readonly postgres: Postgres;
  readonly database: EmbeddedDatabase;
  readonly seed: string;
  readonly server: Server;
  readonly client: LoadClient;
  /** Works beside the other one. */
  readonly secondClient: LoadClient;
  readonly echoAddress: string;
  readonly #options: SettingOptions;
  readonly #more: AsyncDisposableStack;

  private constructor(
    parts: Pick<
      Setting,
      'postgres' | 'database' | 'seed' | 'server' | 'client' | 'secondClient' | 'echoAddress'
    >,
    options: SettingOptions,
    more: AsyncDisposableStack,
  ) {
    this.postgres = parts.postgres;
    this.database = parts.database;
    this.seed = parts.seed;
    this.server = parts.server;
    this.client = parts.client;
    this.secondClient = parts.secondClient;
    this.echoAddress = parts.echoAddress;
    this.#options = options;
    this.#more = more;
  }

  static async start(options: SettingOptions): Promise<Setting> {
    const more = new AsyncDisposableStack();
    try {
      const postgres = await startPostgres();
      more.defer(() => postgres.stop());
      const database = await postgres.createDatabase();
      const seed = randomBytes(32).toString('hex');
      const { profileDirectory } = options;
      const server = await startServer({ databaseUrl: database.databaseUrl, seed, profileDirectory });
      more.defer(() => server.stop());
      const echo = fork(join(import.meta.dirname, 'bare-echo.ts'));
      more.defer(() => stopChild(echo));
      const [port] = (await once(echo, 'message')) as [number];
      const [client, secondClient] = [startLoadClient(), startLoadClient()];
      more.defer(() => client.stop());
      more.defer(() => secondClient.stop());
      const echoAddress = `127.0.0.1:${port}`;
      return new Setting(
        { postgres, database, seed, server, client, secondClient, echoAddress },
        options,
        more,
      );
    } catch (error) {
      await more.disposeAsync();
      throw error;
    }
  }

  pacing(inFlight: number): Pacing {
    return { inFlight, warmUpMs: WARM_UP_MS, measureMs: this.#options.measureMs };
  }

  /** One more server; ends with the setting. */
  async startServer(database: EmbeddedDatabase, countLostRaces = false): Promise<Server> {
    const { seed } = this;
    const server = await startServer({ databaseUrl: database.databaseUrl, seed, countLostRaces });
    this.#more.defer(() => server.stop());
    return server;
  }

  /** Runs a load of calls with so many things (leaves, proofs) in each, and counts what it cost. */
  async measure(
    load: Load,
    perCall: number,
    servers: readonly Server[] = [this.server],
    database: EmbeddedDatabase = this.database,
  ): Promise<Figures> {
    const costNow = () =>
      spent(
        servers.map(({ pid }) => pid),
        this.postgres.pid,
        database.ownerUrl,
      );
    const before = await costNow();
    const measured = await this.client.run(load);
    const cost = difference(before, await costNow());
    const things = measured.allCalls * perCall;
    return {
      ...speedOf(measured, perCall),
      serverCpu: (cost.serverSeconds / things) * 1e6,
      postgresCpu: (cost.postgresSeconds / things) * 1e6,
      walBytes: cost.walBytes / things,
      tableBytes: cost.tableBytes / things,
      allCalls: measured.allCalls,
    };
  }

  /** CPU seconds so far: of the client, and of server and Postgres. */
  cpuSeconds(): { readonly client: number; readonly others: number } {
    return {
      client: processSeconds([this.client.pid]),
      others: processSeconds([this.server.pid]) + postgresSeconds(this.postgres.pid),
    };
  }

  stop(): Promise<void> {
    return this.#more.disposeAsync();
  }
}

export function speedOf(measured: Measured, perCall: number): Figures {
  const { calls, seconds, p50Ms, p99Ms, p999Ms, longestMs, clientBusy } = measured;
  return {
    callsPerSecond: calls / seconds,
    perSecond: (calls * perCall) / seconds,
    p50Ms,
    p99Ms,
    p999Ms,
    longestMs,
    clientBusy: clientBusy * 100,
  };
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill();
  await once(child, 'exit');
}
