import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedDatabase } from '../../src/cli/dev/embedded-database.ts';
import { queryOnce } from '../postgres.ts';
import { preload } from '../preload.ts';
import type { Server } from '../server.ts';
import type { Setting } from '../setting.ts';
import { type Row, type Section, target } from '../table.ts';

interface Log {
  readonly name: string;
  readonly server: Server;
  readonly database: EmbeddedDatabase;
  /** The cluster of the next row. */
  clusterId(): Promise<string>;
}

/** How the speed moves as a log grows: an empty database beside one that holds a log of many anchors. */
export async function growthSection(setting: Setting, anchors: number): Promise<Section> {
  const logs = [await emptyLog(setting), await grownLog(setting, anchors)];
  const rows = logs.flatMap((log) => [
    appends(setting, log, 32),
    appends(setting, log, 1),
    proofs(setting, log),
  ]);
  const ratio = (what: string, id: string, key: string) => ({ what, id, key });
  const compared = [
    ratio('one leaf a call, 32 in flight', 'CreateAnchor 32', 'callsPerSecond'),
    ratio('one leaf a call, 1 in flight', 'CreateAnchor 1', 'callsPerSecond'),
    ratio('proofs, 32 in flight', 'GetInclusionProof 32', 'callsPerSecond'),
  ];
  const [before = '', after = ''] = logs.map(({ name }) => name);
  return {
    title: `From 0 to ${anchors.toLocaleString('en')} anchors in a cluster`,
    about: `Two databases, one empty at the start, one with a log that was put there by COPY; both servers made their plans on empty
tables, nobody ran ANALYZE, and autovacuum has passed by itself. CPU is in milliseconds for a call.`,
    labelHeads: ['anchors', 'calls', 'in flight'],
    columns: [
      { key: 'callsPerSecond', head: 'calls/s', digits: 0 },
      { key: 'p50Ms', head: 'p50 ms', digits: 2 },
      { key: 'p99Ms', head: 'p99 ms', digits: 2 },
      { key: 'p999Ms', head: 'p99.9 ms', digits: 2 },
      { key: 'serverCpuMs', head: 'server CPU ms', digits: 3 },
      { key: 'postgresCpuMs', head: 'Postgres CPU ms', digits: 3 },
      { key: 'walBytes', head: 'WAL bytes a call', digits: 0 },
    ],
    rows,
    targets: (results) =>
      compared.map(({ what, id, key }) =>
        target(
          `${what}: at ${after} anchors, beside ${before}`,
          '',
          results.ratio(`${after} ${id}`, `${before} ${id}`, key),
          { least: 0.9 },
        ),
      ),
  };
}

async function emptyLog(setting: Setting): Promise<Log> {
  const database = await setting.postgres.createDatabase();
  const server = await setting.startServer(database);
  return {
    name: '0',
    server,
    database,
    clusterId: async () => (await server.createClusters(1))[0] ?? '',
  };
}

async function grownLog(setting: Setting, anchors: number): Promise<Log> {
  const database = await setting.postgres.createDatabase();
  const server = await setting.startServer(database);
  // So that statements are prepared while the tables are empty.
  const clusterIds = await server.createClusters(1);
  const addresses = [server.address];
  const some = { kind: 'anchors', addresses, clusterIds, leavesPerCall: 1, packed: true } as const;
  await setting.client.run({ ...some, inFlight: 32, warmUpMs: 0, measureMs: 500 });
  const [clusterId = ''] = await server.createClusters(1);
  const startedAt = performance.now();
  await preload({ ...database, seed: setting.seed, clusterId, anchors });
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  process.stderr.write(`${anchors.toLocaleString('en')} anchors were put there in ${seconds} s\n`);
  await settled(database.ownerUrl);
  return { name: anchors.toLocaleString('en'), server, database, clusterId: async () => clusterId };
}

/** As it does in a log that grows slower: what was inserted is vacuumed, and written to the disk. */
async function settled(ownerUrl: string): Promise<void> {
  process.stderr.write('waiting for autovacuum\n');
  const behind = `SELECT relname FROM pg_stat_user_tables WHERE n_ins_since_vacuum > 10000 OR n_mod_since_analyze > 100000`;
  while ((await queryOnce<{ relname: string }>(ownerUrl, behind)).length > 0) await sleep(1_000);
  await queryOnce(ownerUrl, 'CHECKPOINT');
}

function appends(setting: Setting, log: Log, inFlight: number): Row {
  return row(log, 'CreateAnchor', inFlight, async () => {
    const base = { kind: 'anchors', leavesPerCall: 1, packed: false } as const;
    const load = { ...base, addresses: [log.server.address], clusterIds: [await log.clusterId()] };
    return setting.measure({ ...load, ...setting.pacing(inFlight) }, 1, [log.server], log.database);
  });
}

function proofs(setting: Setting, log: Log): Row {
  return row(log, 'GetInclusionProof', 32, async () => {
    const clusterIds = [await log.clusterId()];
    const addresses = [log.server.address];
    if (log.name === '0') {
      const some = { kind: 'anchors', addresses, clusterIds, leavesPerCall: 1, packed: true } as const;
      await setting.client.run({ ...some, inFlight: 32, warmUpMs: 0, measureMs: 2_000 });
    }
    const load = { kind: 'proofs', addresses, clusterIds, proofsPerCall: 1 } as const;
    return setting.measure({ ...load, ...setting.pacing(32) }, 1, [log.server], log.database);
  });
}

function row(log: Log, method: string, inFlight: number, measure: () => ReturnType<Row['measure']>): Row {
  return {
    id: `${log.name} ${method} ${inFlight}`,
    labels: [log.name, method, String(inFlight)],
    async measure() {
      const figures = await measure();
      const { serverCpu = Number.NaN, postgresCpu = Number.NaN } = figures;
      return { ...figures, serverCpuMs: serverCpu / 1000, postgresCpuMs: postgresCpu / 1000 };
    },
  };
}
