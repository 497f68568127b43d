import { CarefulCaller } from '../integration/careful-caller.ts';
import { connectClients } from '../integration/notary-under-test.ts';
import { ChaosPostgres } from './chaos-postgres.ts';
import { ChaosServer } from './chaos-server.ts';
import { CuttingProxy } from './cutting-proxy.ts';

export const SERVERS = 3;
/** Beside the hot one. */
const CLUSTERS = 32;

/** What is struck: servers, each with connections of its own to one Postgres. */
export class Arena {
  readonly seed: Uint8Array;
  readonly postgres: ChaosPostgres;
  readonly servers: readonly ChaosServer[];
  readonly proxies: readonly CuttingProxy[];
  /** One for each cluster, the hot one first. */
  readonly callers: readonly CarefulCaller[];

  private constructor(parts: Pick<Arena, 'seed' | 'postgres' | 'servers' | 'proxies' | 'callers'>) {
    this.seed = parts.seed;
    this.postgres = parts.postgres;
    this.servers = parts.servers;
    this.proxies = parts.proxies;
    this.callers = parts.callers;
  }

  /** @param directory for the logs of the servers and of what they sign */
  static async open(directory: string, seed: Uint8Array): Promise<Arena> {
    const postgres = await ChaosPostgres.start();
    const proxies = await Promise.all(
      Array.from({ length: SERVERS }, () => CuttingProxy.start(postgres.port)),
    );
    const servers = await Promise.all(
      proxies.map(({ port }, index) => {
        const url = new URL(postgres.database.databaseUrl);
        url.port = String(port);
        return ChaosServer.start({ index, databaseUrl: url.href, seed, directory });
      }),
    );
    const callers = await makeClusters(servers[0]!, seed);
    return new Arena({ seed, postgres, servers, proxies, callers });
  }

  get hotClusterId(): string {
    return this.callers[0]!.clusterId;
  }

  async close(): Promise<void> {
    await Promise.all(this.servers.map((server) => server.close()));
    await Promise.all(this.proxies.map((proxy) => proxy.close()));
    await this.postgres.stop();
  }
}

async function makeClusters({ address }: ChaosServer, seed: Uint8Array): Promise<CarefulCaller[]> {
  const clients = connectClients(address);
  try {
    return await Promise.all(
      Array.from({ length: 1 + CLUSTERS }, () => CarefulCaller.ofNewCluster(clients, seed)),
    );
  } finally {
    clients.close();
  }
}
