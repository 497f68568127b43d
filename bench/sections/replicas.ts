import type { EmbeddedDatabase } from '../../src/cli/dev/embedded-database.ts';
import type { Server } from '../server.ts';
import type { Setting } from '../setting.ts';
import { type Row, type Section, target } from '../table.ts';

const SERVERS = 3;

/** Several servers that all append to one log. */
export async function replicasSection(setting: Setting): Promise<Section> {
  const database = await setting.postgres.createDatabase();
  const servers: Server[] = [];
  for (let i = 0; i < SERVERS; i++) servers.push(await setting.startServer(database, true));
  const rows = [32, 256].flatMap((inFlight) =>
    [1, SERVERS].map((count) => hotCluster(setting, database, servers.slice(0, count), inFlight)),
  );
  return {
    title: 'Several servers on one hot cluster',
    about: `One leaf a call, all into one cluster, callers spread over the servers, which share the cores with one another. A lost
race is an append that another server was faster with, and that was made anew. CPU is in milliseconds for an anchor.`,
    labelHeads: ['servers', 'in flight'],
    columns: [
      { key: 'callsPerSecond', head: 'anchors/s', digits: 0 },
      { key: 'p50Ms', head: 'p50 ms', digits: 2 },
      { key: 'p99Ms', head: 'p99 ms', digits: 2 },
      { key: 'p999Ms', head: 'p99.9 ms', digits: 2 },
      { key: 'lostRaces', head: 'lost races per 1,000 anchors', digits: 1 },
      { key: 'serverCpuMs', head: 'servers, CPU ms', digits: 3 },
      { key: 'postgresCpuMs', head: 'Postgres, CPU ms', digits: 3 },
    ],
    rows,
    targets: (results) => [
      target(
        `${SERVERS} servers on one hot cluster, beside one`,
        '',
        results.ratio(`${SERVERS} 32`, '1 32', 'callsPerSecond'),
        { least: 0.7 },
      ),
    ],
  };
}

function hotCluster(
  setting: Setting,
  database: EmbeddedDatabase,
  servers: readonly Server[],
  inFlight: number,
): Row {
  return {
    id: `${servers.length} ${inFlight}`,
    labels: [String(servers.length), String(inFlight)],
    async measure() {
      const clusterIds = (await servers[0]?.createClusters(1)) ?? [];
      const addresses = servers.map(({ address }) => address);
      const lostRaces = () => servers.reduce((sum, server) => sum + server.lostRaces, 0);
      const lostBefore = lostRaces();
      const load = { kind: 'anchors', addresses, clusterIds, leavesPerCall: 1, packed: false } as const;
      const figures = await setting.measure({ ...load, ...setting.pacing(inFlight) }, 1, servers, database);
      const { allCalls = Number.NaN, serverCpu = Number.NaN, postgresCpu = Number.NaN } = figures;
      return {
        ...figures,
        lostRaces: ((lostRaces() - lostBefore) / allCalls) * 1000,
        serverCpuMs: serverCpu / 1000,
        postgresCpuMs: postgresCpu / 1000,
      };
    },
  };
}
