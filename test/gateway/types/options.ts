// What createGateway takes. Nothing here runs: `npm run typecheck` is the test.

import { ChannelCredentials } from '@grpc/grpc-js';
import {
  createGateway,
  type Gateway,
  type GatewayOptions,
  memoryOutbox,
} from '../../../src/gateway/index.ts';
import { exactly } from './exactly.ts';

const endpoint = 'notary.example.org:50051';
const clusterId = '7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70';

// Two are enough. Red when another becomes required.
exactly<Gateway>()(createGateway({ endpoint, clusterId }));

// Red when one of the two becomes optional.
// @ts-expect-error there is no notary without an endpoint
createGateway({ clusterId });
// @ts-expect-error there is no log without a cluster
createGateway({ endpoint });
type Required = {
  [K in keyof GatewayOptions]-?: undefined extends GatewayOptions[K] ? never : K;
}[keyof GatewayOptions];
exactly<'clusterId' | 'endpoint'>()('endpoint' as Required);

// All of them, each by its name. Red when one is renamed or takes something else.
createGateway({
  endpoint,
  clusterId,
  outbox: memoryOutbox({ maxLeaves: 10 }),
  credentials: ChannelCredentials.createSsl(),
  batch: { maxLeaves: 1_000, maxBytes: 32_000, flushIntervalMs: 500, inFlight: 1 },
  retry: { attemptTimeoutMs: 60_000, minDelayMs: 250, maxDelayMs: 120_000 },
  verification: { keys: ['vkey'] },
  whenFull: 'block',
  etcdRevision: () => 7n,
  onAnchored: async (batch) => exactly<number>()(batch.leafCount),
  onDeadLetter: (letter) => exactly<string>()(letter.refusal.reason),
  logger: console,
});

// An option from a settings file that is not there may be given as undefined, whatever the strictness of the project.
// Red when one of them must be left out instead.
const batch = { maxLeaves: undefined, maxBytes: undefined, flushIntervalMs: undefined, inFlight: undefined };
const retry = { attemptTimeoutMs: undefined, minDelayMs: undefined, maxDelayMs: undefined };
createGateway({ endpoint, clusterId, batch, retry });
createGateway({
  endpoint,
  clusterId,
  outbox: undefined,
  credentials: undefined,
  batch: undefined,
  retry: undefined,
  verification: undefined,
  whenFull: undefined,
  etcdRevision: undefined,
  onAnchored: undefined,
  onDeadLetter: undefined,
  logger: undefined,
  metrics: undefined,
});

// Red when an option takes anything: what is misspelt would silently not be there.
// @ts-expect-error outBox
createGateway({ endpoint, clusterId, outBox: memoryOutbox() });
// @ts-expect-error flushInterval without its unit
createGateway({ endpoint, clusterId, batch: { flushInterval: 500 } });
// @ts-expect-error one of two words
createGateway({ endpoint, clusterId, whenFull: 'drop' });
// @ts-expect-error keys, and none is no verification
createGateway({ endpoint, clusterId, verification: {} });
// @ts-expect-error revisions are bigints: numbers end at 2^53
createGateway({ endpoint, clusterId, etcdRevision: () => 7 });

// Red without `readonly`: options that change later would change nothing.
declare const options: GatewayOptions;
// @ts-expect-error readonly
options.clusterId = '';
// @ts-expect-error readonly, below too
if (options.batch !== undefined) options.batch.maxLeaves = 1;
// @ts-expect-error readonly, lists too
options.verification?.keys.push('another');
