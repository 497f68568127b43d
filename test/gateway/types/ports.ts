// What others make and the gateway takes as it is. Nothing here runs: `npm run typecheck` is the test.

import { metrics } from '@opentelemetry/api';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { pino } from 'pino';
import {
  createGateway,
  type GatewayLogger,
  type Meter,
  memoryOutbox,
  type Outbox,
} from '../../../src/gateway/index.ts';
import { given } from './exactly.ts';

const endpoint = 'notary.example.org:50051';
const clusterId = '7b4c2f0e-93d1-4a55-8c1e-2f6a9d3b5e70';

// Red when the port asks for a method, or an argument of one, that the real thing lacks.
given<GatewayLogger>(pino());
given<GatewayLogger>(pino().child({ part: 'gateway' }));
given<GatewayLogger>(console);
given<Meter>(metrics.getMeter('gateway'));
given<Meter>(new MeterProvider().getMeter('gateway'));
given<Outbox>(memoryOutbox());
createGateway({
  endpoint,
  clusterId,
  logger: pino(),
  metrics: metrics.getMeter('gateway'),
  outbox: memoryOutbox(),
});

// Red when a port takes anything.
// @ts-expect-error no logger
given<GatewayLogger>({ info() {} });
// @ts-expect-error a provider is no meter
given<Meter>(new MeterProvider());
// @ts-expect-error an outbox must be able to say what waits in it
given<Outbox>({ ...memoryOutbox(), backlog: undefined });
