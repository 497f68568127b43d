import { type Setting, speedOf } from '../setting.ts';
import { type Row, type Section, target } from '../table.ts';

const LEAVES_A_BATCH = 100_000;

interface Neighbour {
  readonly packed: boolean;
  readonly inFlight: number;
}

const NEIGHBOURS: readonly Neighbour[] = [false, true].flatMap((packed) =>
  [1, 4].map((inFlight) => ({ packed, inFlight })),
);

/** What big batches do to everybody else: Node keeps one thread, and a cluster one queue. */
export function stallsSection(setting: Setting): Section {
  const rows = [undefined, ...NEIGHBOURS].map((neighbour) => loneCalls(setting, neighbour));
  return {
    title: 'Lone calls beside big batches',
    about: `One client anchors one leaf a call, one call in flight, while another one, in a process of its own, sends batches of
${LEAVES_A_BATCH.toLocaleString('en')} leaves into the same cluster. The event loop is the server's: how late its timers were.`,
    labelHeads: ['the other client sends', 'in flight'],
    columns: [
      { key: 'callsPerSecond', head: 'lone calls/s', digits: 0 },
      { key: 'p50Ms', head: 'p50 ms', digits: 2 },
      { key: 'p99Ms', head: 'p99 ms', digits: 2 },
      { key: 'p999Ms', head: 'p99.9 ms', digits: 2 },
      { key: 'longestMs', head: 'longest ms', digits: 2 },
      { key: 'neighbourPerSecond', head: 'its leaves/s', digits: 0 },
      { key: 'loopP99Ms', head: 'event loop p99 ms', digits: 2 },
      { key: 'loopLongestMs', head: 'longest ms', digits: 2 },
    ],
    rows,
    targets: (results) => [
      target('lone call beside packed_leaves, p99', ' ms', results.of('packed_leaves 1', 'p99Ms'), {
        below: 15,
      }),
      target('lone call beside leaves, p99', ' ms', results.of('leaves 1', 'p99Ms'), { below: 30 }),
    ],
  };
}

function loneCalls(setting: Setting, neighbour: Neighbour | undefined): Row {
  const field = neighbour === undefined ? 'nothing' : neighbour.packed ? 'packed_leaves' : 'leaves';
  const inFlight = neighbour?.inFlight ?? 0;
  return {
    id: `${field} ${inFlight}`,
    labels: [field, String(inFlight)],
    async measure() {
      const { client, secondClient, server } = setting;
      const addresses = [server.address];
      const clusterIds = await server.createClusters(1);
      const base = { kind: 'anchors', addresses, clusterIds } as const;
      const beside =
        neighbour === undefined
          ? undefined
          : secondClient.run({
              ...base,
              leavesPerCall: LEAVES_A_BATCH,
              packed: neighbour.packed,
              ...setting.pacing(inFlight),
            });
      await server.eventLoopDelay();
      const lone = client.run({ ...base, leavesPerCall: 1, packed: true, ...setting.pacing(1) });
      const [measured, neighbours] = await Promise.all([lone, beside]);
      const loop = await server.eventLoopDelay();
      return {
        ...speedOf(measured, 1),
        loopP99Ms: loop.p99Ms,
        loopLongestMs: loop.longestMs,
        ...(neighbours === undefined
          ? {}
          : { neighbourPerSecond: (neighbours.calls * LEAVES_A_BATCH) / neighbours.seconds }),
      };
    },
  };
}
