import { randomFillSync, randomUUID } from 'node:crypto';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { type Client, createClient } from '../src/rpc/client.ts';

export interface Load {
  readonly address: string;
  readonly clusterId: string;
  readonly leavesPerCall: number;
  readonly inFlight: number;
  readonly packed: boolean;
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface Measured {
  readonly callsPerSecond: number;
  readonly leavesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly calls: number;
}

/** Calls CreateAnchor with a fixed number in flight, each call as soon as one has been answered. */
export async function createAnchors(load: Load): Promise<Measured> {
  const client = createClient(QuartermasterNotary, load.address);
  const batches = randomBatches(load.leavesPerCall);
  const startedAt = performance.now();
  const measureFrom = startedAt + load.warmUpMs;
  const end = measureFrom + load.measureMs;
  const latencies: number[] = [];
  try {
    await Promise.all(Array.from({ length: load.inFlight }, (_, caller) => call(client, caller)));
  } finally {
    client.close();
  }
  return summarize(latencies, load);

  async function call(notary: Client<typeof QuartermasterNotary.method>, caller: number): Promise<void> {
    for (let n = caller; performance.now() < end; n++) {
      const batch = batches[n % batches.length]!;
      const sentAt = performance.now();
      await notary.createAnchor({
        clusterId: load.clusterId,
        requestId: randomUUID(),
        ...(load.packed ? { packedLeaves: batch } : { leaves: split(batch) }),
      });
      const answeredAt = performance.now();
      if (sentAt >= measureFrom && answeredAt <= end) latencies.push(answeredAt - sentAt);
    }
  }
}

function summarize(latencies: number[], { measureMs, leavesPerCall }: Load): Measured {
  latencies.sort((a, b) => a - b);
  const at = (quantile: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(quantile * latencies.length))] ?? Number.NaN;
  const callsPerSecond = latencies.length / (measureMs / 1000);
  return {
    callsPerSecond,
    leavesPerSecond: callsPerSecond * leavesPerCall,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    calls: latencies.length,
  };
}

/** A few different batches, made before the clock runs. */
function randomBatches(leavesPerCall: number): Uint8Array[] {
  return Array.from({ length: 8 }, () => randomFillSync(new Uint8Array(leavesPerCall * 32)));
}

function split(packed: Uint8Array): Uint8Array[] {
  return Array.from({ length: packed.length / 32 }, (_, i) => packed.subarray(i * 32, i * 32 + 32));
}
