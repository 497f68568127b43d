/** A client in a process of its own, so that its event loop is disturbed by nobody else's work. Forked by load-client.ts. */
import { ChannelCredentials } from '@grpc/grpc-js';
import { loadAnchors } from '../src/cli/load/anchor-load.ts';
import type { LoadEvents, Measured, Pacing } from '../src/cli/load/keep-in-flight.ts';
import { loadProofs } from '../src/cli/load/proof-load.ts';
import { loadEcho } from './bare-echo.ts';
import { loadHashing } from './bare-hashing.ts';
import { loadInserts } from './bare-inserts.ts';
import { type GatewayLoad, loadBareCalls, loadGateway } from './gateway-load.ts';

export type Load = Pacing & {
  readonly addresses?: readonly string[];
} & (
    | {
        readonly kind: 'anchors';
        readonly clusterIds: readonly string[];
        readonly leavesPerCall: number;
        readonly packed: boolean;
      }
    | { readonly kind: 'proofs'; readonly clusterIds: readonly string[]; readonly proofsPerCall: number }
    | { readonly kind: 'echo'; readonly leavesPerCall: number; readonly packed: boolean }
    | { readonly kind: 'inserts'; readonly databaseUrl: string; readonly leavesPerCall: number }
    | { readonly kind: 'hashing'; readonly leavesPerCall: number }
    | ({ readonly kind: 'gateway' } & GatewayLoad)
    | ({ readonly kind: 'bare-batches' } & Pick<GatewayLoad, 'address' | 'clusterId'>)
  );

export type Answer = { readonly measured: Measured } | { readonly error: string };

/** No call may fail here: a figure with failures in it would be a figure of something else. */
const events: LoadEvents = {
  onFailure(error) {
    throw error;
  },
};

process.on('message', (load: Load) => {
  run(load)
    .then((measured): Answer => ({ measured }))
    .catch(
      (error: unknown): Answer => ({
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      }),
    )
    .then((answer) => process.send?.(answer));
});

function run(load: Load): Promise<Measured> {
  const endpoints = (load.addresses ?? []).map((address) => ({
    address,
    credentials: ChannelCredentials.createInsecure(),
  }));
  switch (load.kind) {
    case 'anchors':
      return loadAnchors(endpoints, load, load, events);
    case 'proofs':
      return loadProofs(endpoints, load, load, events);
    case 'echo':
      return loadEcho(endpoints, load, load, events);
    case 'inserts':
      return loadInserts(load, load, events);
    case 'hashing':
      return loadHashing(load, load, events);
    case 'gateway':
      return loadGateway(load, load, events);
    case 'bare-batches':
      return loadBareCalls(load, load, events);
  }
}
