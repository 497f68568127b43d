/**
 * Speed and storage of a whole notary: Postgres with durable commits, the server in its own process, and this client, all
 * on one machine. `npm run bench` prints one row for each kind of call, and the bytes that a leaf takes.
 *
 * Rows are measured in turns (every row once, then all again), and the median of the turns is printed: machines drift.
 */
import { randomBytes } from 'node:crypto';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { createClient } from '../src/rpc/client.ts';
import { createAnchors, type Measured } from './load.ts';
import { startNotary } from './notary-process.ts';
import { tableBytes } from './storage-cost.ts';

const { values } = parseArgs({
  options: {
    turns: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '4' },
  },
});
const turns = Number(values.turns);
const measureMs = Number(values.seconds) * 1000;
const WARM_UP_MS = 1500;

interface Row {
  readonly leavesPerCall: number;
  readonly inFlight: number;
  readonly packed: boolean;
}

const ROWS: readonly Row[] = [1, 100, 1000, 10_000].flatMap((leavesPerCall) =>
  [1, 32].map((inFlight) => ({ leavesPerCall, inFlight, packed: leavesPerCall > 1 })),
);

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

const notary = await startNotary();
try {
  console.log(
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores; Node.js ${process.version}; ${notary.postgresVersion}`,
  );
  console.log(
    `fsync on; client, server and Postgres on the same machine; median of ${turns} turns of ${measureMs / 1000} s\n`,
  );
  const measured = new Map<Row, Measured[]>(ROWS.map((row) => [row, []]));
  for (let turn = 0; turn < turns; turn++) {
    for (const row of ROWS) {
      const clusterId = await notary.createCluster();
      const result = await createAnchors({
        ...row,
        address: notary.address,
        clusterId,
        warmUpMs: WARM_UP_MS,
        measureMs,
      });
      measured.get(row)?.push(result);
    }
  }
  console.log('| leaves a call | in flight | anchors/s | leaves/s | p50 ms | p99 ms |');
  console.log('| ---: | ---: | ---: | ---: | ---: | ---: |');
  for (const [row, results] of measured) {
    const of = (read: (one: Measured) => number) => median(results.map(read));
    const cells = [
      row.leavesPerCall.toLocaleString('en'),
      row.inFlight,
      Math.round(of((one) => one.callsPerSecond)).toLocaleString('en'),
      Math.round(of((one) => one.leavesPerSecond)).toLocaleString('en'),
      of((one) => one.p50Ms).toFixed(2),
      of((one) => one.p99Ms).toFixed(2),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }

  const before = await tableBytes(notary.ownerUrl);
  const clusterId = await notary.createCluster();
  const anchors = 1000;
  await anchorExactly(clusterId, 1000, anchors);
  const bytes = (await tableBytes(notary.ownerUrl)) - before;
  console.log(
    `\n${(bytes / (anchors * 1000)).toFixed(1)} bytes per leaf on disk at 1,000 leaves a call, indexes included (${anchors} anchors)`,
  );
} finally {
  await notary.stop();
}

async function anchorExactly(clusterId: string, leavesPerCall: number, anchors: number): Promise<void> {
  const client = createClient(QuartermasterNotary, notary.address);
  for (let done = 0; done < anchors; done += 8) {
    const calls = Array.from({ length: 8 }, () =>
      client.createAnchor({ clusterId, packedLeaves: randomBytes(leavesPerCall * 32) }),
    );
    await Promise.all(calls);
  }
  client.close();
}
