import type { Load } from '../load-worker.ts';
import { type Setting, speedOf } from '../setting.ts';
import { type Column, type Figures, type Row, type Section, target } from '../table.ts';

const COLUMNS: readonly Column[] = [
  { key: 'callsPerSecond', head: 'calls/s', digits: 0 },
  { key: 'perSecond', head: 'leaves/s', digits: 0 },
  { key: 'p50Ms', head: 'p50 ms', digits: 2 },
  { key: 'p99Ms', head: 'p99 ms', digits: 2 },
  { key: 'p999Ms', head: 'p99.9 ms', digits: 2 },
  { key: 'serverCpu', head: 'server CPU', digits: 2 },
  { key: 'postgresCpu', head: 'Postgres CPU', digits: 2 },
  { key: 'tableBytes', head: 'bytes', digits: 1 },
  { key: 'walBytes', head: 'WAL bytes', digits: 1 },
];
const LABELS = ['leaves a call', 'field', 'clusters', 'in flight'];
const ABOUT = `CreateAnchor. CPU is in seconds for a million leaves; bytes are on disk, for a leaf, indexes included. Echo, bare
Postgres and hashing alone are the limits beside it: the same bytes decoded and sent back by a bare gRPC server, put into
one row of one table by bare node-postgres (10 connections), and hashed by a process that does nothing else.`;

/** Calls with one leaf, as a gateway sends that waits for each event. */
export function singleSection(setting: Setting): Section {
  const rows = [1, 32].flatMap((clusters) =>
    [1, 32, 256].map((inFlight) => anchors(setting, { leavesPerCall: 1, packed: false, clusters, inFlight })),
  );
  const limits = [
    ...[1, 32, 256].map((inFlight) => echo(setting, { leavesPerCall: 1, packed: false, inFlight })),
    ...[1, 32].map((inFlight) => inserts(setting, { leavesPerCall: 1, inFlight })),
  ];
  return {
    title: 'One leaf a call',
    about: ABOUT,
    labelHeads: LABELS,
    columns: COLUMNS,
    rows: [...rows, ...limits],
    targets: (results) => [
      target(
        'one leaf a call, 32 in flight, one cluster, beside the bare echo',
        '',
        results.ratio('leaves 1 1 32', 'echo leaves 1 32', 'callsPerSecond'),
        { least: 0.55 },
      ),
      target('lone call, p50', ' ms', results.of('leaves 1 1 1', 'p50Ms'), { below: 1.5 }),
      target('lone call, p99', ' ms', results.of('leaves 1 1 1', 'p99Ms'), { below: 5 }),
    ],
  };
}

/** Calls with many leaves, as a gateway sends that collects them, or that was cut off for some time. */
export function batchesSection(setting: Setting): Section {
  const sizes = [
    { leavesPerCall: 100, inFlight: 32 },
    { leavesPerCall: 1_000, inFlight: 32 },
    { leavesPerCall: 10_000, inFlight: 32 },
    { leavesPerCall: 100_000, inFlight: 8 },
  ];
  const rows = sizes.flatMap(({ leavesPerCall, inFlight }) => [
    anchors(setting, { leavesPerCall, packed: false, clusters: 1, inFlight }),
    anchors(setting, { leavesPerCall, packed: true, clusters: 1, inFlight }),
    anchors(setting, { leavesPerCall, packed: true, clusters: 1, inFlight: 1 }),
    echo(setting, { leavesPerCall, packed: false, inFlight }),
    echo(setting, { leavesPerCall, packed: true, inFlight }),
    inserts(setting, { leavesPerCall, inFlight }),
    hashing(setting, leavesPerCall),
  ]);
  return {
    title: 'Many leaves a call',
    about: ABOUT,
    labelHeads: LABELS,
    columns: COLUMNS,
    rows,
    targets: (results) => {
      const hashed = results.of('hashing 1000', 'perSecond') ?? Number.NaN;
      const least = Math.min(450_000, 0.8 * hashed);
      return ['leaves', 'packed_leaves'].map((field) =>
        target(
          `1,000 leaves a call in ${field}`,
          ' leaves/s',
          results.of(`${field} 1000 1 32`, 'perSecond'),
          { least },
          0,
        ),
      );
    },
  };
}

interface Batch {
  readonly leavesPerCall: number;
  readonly packed: boolean;
  readonly inFlight: number;
}

function anchors(setting: Setting, batch: Batch & { readonly clusters: number }): Row {
  const { leavesPerCall, packed, clusters, inFlight } = batch;
  const field = fieldOf(packed);
  return {
    id: `${field} ${leavesPerCall} ${clusters} ${inFlight}`,
    labels: [leavesPerCall.toLocaleString('en'), field, String(clusters), String(inFlight)],
    async measure() {
      const clusterIds = await setting.server.createClusters(clusters);
      const addresses = [setting.server.address];
      const load = { kind: 'anchors', addresses, clusterIds, leavesPerCall, packed } as const;
      return setting.measure({ ...load, ...setting.pacing(inFlight) }, leavesPerCall);
    },
  };
}

function echo(setting: Setting, { leavesPerCall, packed, inFlight }: Batch): Row {
  return {
    id: `echo ${fieldOf(packed)} ${leavesPerCall} ${inFlight}`,
    labels: [leavesPerCall.toLocaleString('en'), `echo of ${fieldOf(packed)}`, '-', String(inFlight)],
    measure: () => {
      const load = { kind: 'echo', addresses: [setting.echoAddress], leavesPerCall, packed } as const;
      return bare(setting, { ...load, ...setting.pacing(inFlight) }, leavesPerCall);
    },
  };
}

function inserts(setting: Setting, { leavesPerCall, inFlight }: Omit<Batch, 'packed'>): Row {
  return {
    id: `inserts ${leavesPerCall} ${inFlight}`,
    labels: [leavesPerCall.toLocaleString('en'), 'bare Postgres', '-', String(inFlight)],
    measure: () => {
      const load = { kind: 'inserts', databaseUrl: setting.database.ownerUrl, leavesPerCall } as const;
      return bare(setting, { ...load, ...setting.pacing(inFlight) }, leavesPerCall);
    },
  };
}

function hashing(setting: Setting, leavesPerCall: number): Row {
  return {
    id: `hashing ${leavesPerCall}`,
    labels: [leavesPerCall.toLocaleString('en'), 'hashing alone', '-', '-'],
    measure: () => bare(setting, { kind: 'hashing', leavesPerCall, ...setting.pacing(1) }, leavesPerCall),
  };
}

/** Speed alone: what the server and its tables cost is no matter of a limit. */
async function bare(setting: Setting, load: Load, perCall: number): Promise<Figures> {
  return speedOf(await setting.client.run(load), perCall);
}

function fieldOf(packed: boolean): string {
  return packed ? 'packed_leaves' : 'leaves';
}
