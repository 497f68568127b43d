import type { Setting } from '../setting.ts';
import { type Row, type Section, target } from '../table.ts';

const IN_FLIGHT = 32;
const PROOFS_A_BATCH = 100;
/** How many leaves the anchors have that are proven, and how many calls make them. */
const LOGS = [
  { leavesPerAnchor: 1, seconds: 5 },
  { leavesPerAnchor: 1_000, seconds: 3 },
  { leavesPerAnchor: 100_000, seconds: 3 },
] as const;

/** GetInclusionProof and BatchGetInclusionProofs. */
export async function proofsSection(setting: Setting): Promise<Section> {
  const rows: Row[] = [];
  for (const { leavesPerAnchor, seconds } of LOGS) {
    const clusterIds = await filledCluster(setting, leavesPerAnchor, seconds);
    for (const proofsPerCall of [1, PROOFS_A_BATCH]) {
      rows.push(proofs(setting, clusterIds, leavesPerAnchor, proofsPerCall));
    }
  }
  return {
    title: 'Proofs',
    about: `Inclusion proofs of random leaves of random anchors, ${IN_FLIGHT} calls in flight: each reads the anchor and its leaves, and
is checked before it leaves the house. CPU is in seconds for a million proofs.`,
    labelHeads: ['proofs a call', 'leaves an anchor'],
    columns: [
      { key: 'callsPerSecond', head: 'calls/s', digits: 0 },
      { key: 'perSecond', head: 'proofs/s', digits: 0 },
      { key: 'p50Ms', head: 'p50 ms', digits: 2 },
      { key: 'p99Ms', head: 'p99 ms', digits: 2 },
      { key: 'p999Ms', head: 'p99.9 ms', digits: 2 },
      { key: 'serverCpu', head: 'server CPU', digits: 0 },
      { key: 'postgresCpu', head: 'Postgres CPU', digits: 0 },
    ],
    rows,
    targets: (results) => [
      target(
        'proofs of anchors with one leaf, one a call',
        ' proofs/s',
        results.of('1 1', 'perSecond'),
        { least: 3_500 },
        0,
      ),
    ],
  };
}

async function filledCluster(setting: Setting, leavesPerCall: number, seconds: number): Promise<string[]> {
  const clusterIds = await setting.server.createClusters(1);
  const addresses = [setting.server.address];
  const pacing = { inFlight: leavesPerCall > 1_000 ? 4 : 32, warmUpMs: 0, measureMs: seconds * 1000 };
  await setting.client.run({
    kind: 'anchors',
    addresses,
    clusterIds,
    leavesPerCall,
    packed: true,
    ...pacing,
  });
  return clusterIds;
}

function proofs(
  setting: Setting,
  clusterIds: readonly string[],
  leavesPerAnchor: number,
  proofsPerCall: number,
): Row {
  return {
    id: `${proofsPerCall} ${leavesPerAnchor}`,
    labels: [String(proofsPerCall), leavesPerAnchor.toLocaleString('en')],
    measure() {
      const addresses = [setting.server.address];
      const load = { kind: 'proofs', addresses, clusterIds, proofsPerCall } as const;
      return setting.measure({ ...load, ...setting.pacing(IN_FLIGHT) }, proofsPerCall);
    },
  };
}
