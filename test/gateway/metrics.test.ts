import { afterEach, describe, expect, test } from '@jest/globals';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import { realEnvironment } from '../../src/gateway/environment.ts';
import { GatewayError } from '../../src/gateway/error.ts';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import { observe } from '../../src/gateway/metrics.ts';
import { prometheusText } from '../../src/gateway/prometheus.ts';
import type { GatewayStats } from '../../src/gateway/stats.ts';
import { type Family, readExposition } from './exposition.ts';
import { BUSY, IDLE } from './gateway-stats.ts';
import { MemoryLink } from './memory-link.ts';
import { CLUSTER_ID, leafOf, silentLog } from './outbox-contract.ts';

/** The real SDK, and its own writer of Prometheus' format. */
class OpenTelemetry {
  readonly #reader = new PrometheusExporter({ preventServerStart: true });
  readonly #provider = new MeterProvider({ readers: [this.#reader] });
  readonly meter = this.#provider.getMeter('gateway');

  async collect(): Promise<{ families: Map<string, Family>; errors: readonly unknown[] }> {
    const { resourceMetrics, errors } = await this.#reader.collect();
    const text = new PrometheusSerializer(undefined, false, undefined, true, true).serialize(resourceMetrics);
    const lines = text.split('\n').filter((line) => line !== '' && !/^# (UNIT|no registered)/.test(line));
    return { families: readExposition(lines.map((line) => `${line}\n`).join('')), errors };
  }

  async shutdown(): Promise<void> {
    await this.#provider.shutdown();
  }
}

let openTelemetry: OpenTelemetry | undefined;
afterEach(async () => {
  await openTelemetry?.shutdown();
  openTelemetry = undefined;
});
const started = () => {
  openTelemetry = new OpenTelemetry();
  return openTelemetry;
};

describe('OpenTelemetry', () => {
  // Red when a unit, a kind or a name follows other rules in one of the two, or when two numbers change places in one.
  test.each<[string, GatewayStats]>([
    ['busy', BUSY],
    ['idle', IDLE],
  ])('collects of a %s gateway what the text for Prometheus says', async (_name, stats) => {
    const sdk = started();
    observe(sdk.meter, async () => stats);
    const { families } = await sdk.collect();
    const expected = [...readExposition(prometheusText(stats))].filter(
      ([, { samples }]) => samples.length > 0,
    );
    // The JavaScript exporter alone leaves the unit out of the name; the Collector does not.
    const renamed = expected.map(([name, family]) => [name.replace(/_seconds$/, ''), family] as const);
    expect(families).toEqual(new Map(renamed));
    expect(families.size).toBeGreaterThan(15);
  });

  // Red with a callback for each instrument: an outbox in a database would be asked twenty times.
  test('asks for the numbers once a collection', async () => {
    const sdk = started();
    let asked = 0;
    observe(sdk.meter, async () => {
      asked++;
      return { ...BUSY, submittedLeaves: asked };
    });
    await sdk.collect();
    const { families } = await sdk.collect();
    expect(asked).toBe(2);
    expect(families.get('quartermaster_gateway_leaves_submitted_total')?.samples[0]?.value).toBe(2);
  });

  test('asks nobody after the end', async () => {
    const sdk = started();
    let asked = 0;
    const end = observe(sdk.meter, async () => {
      asked++;
      return BUSY;
    });
    await sdk.collect();
    end();
    await sdk.collect();
    expect(asked).toBe(1);
  });

  test('is told when the numbers cannot be had', async () => {
    const sdk = started();
    const cause = new Error('no database');
    observe(sdk.meter, () => Promise.reject(cause));
    expect((await sdk.collect()).errors).toContain(cause);
  });
});

// Red with the meter left out of the gateway's constructor, or the end left out of its close.
test('a gateway with a meter is measured from its making to its close, and says the same to Prometheus', async () => {
  const sdk = started();
  let clockReadings = 0;
  const now = () => {
    clockReadings++;
    return Date.now();
  };
  const gateway = createGatewayIn(
    { ...realEnvironment, now, connect: () => new MemoryLink(CLUSTER_ID) },
    {
      endpoint: 'nowhere:1',
      clusterId: CLUSTER_ID,
      metrics: sdk.meter,
      logger: silentLog,
      batch: { flushIntervalMs: 1 },
    },
  );
  const numberOf = (families: Map<string, Family>, name: string) =>
    families.get(`quartermaster_gateway_${name}`)?.samples[0]?.value;
  try {
    expect(numberOf((await sdk.collect()).families, 'leaves_submitted_total')).toBe(0);
    const handles = [await gateway.submit(leafOf(0)), await gateway.submit(leafOf(1))];
    await Promise.all(handles.map((handle) => handle.anchored));
    for (const families of [(await sdk.collect()).families, readExposition(await gateway.prometheus())]) {
      expect(numberOf(families, 'leaves_submitted_total')).toBe(2);
      expect(numberOf(families, 'leaves_anchored_total')).toBe(2);
      expect(numberOf(families, 'leaves_queued')).toBe(0);
      expect(numberOf(families, 'notary_up')).toBe(1);
    }
  } finally {
    await gateway.close();
  }
  const before = clockReadings;
  await sdk.collect();
  expect(clockReadings).toBe(before); // every measurement has an age in it
});

// Red when an outbox that is away takes all numbers with it, or counts as empty.
test('a gateway whose outbox is away is measured, but for what the outbox would say', async () => {
  const sdk = started();
  const outbox = memoryOutbox();
  const gateway = createGatewayIn(
    { ...realEnvironment, connect: () => new MemoryLink(CLUSTER_ID) },
    { endpoint: 'nowhere:1', clusterId: CLUSTER_ID, metrics: sdk.meter, logger: silentLog, outbox },
  );
  try {
    expect((await sdk.collect()).families.has('quartermaster_gateway_leaves_queued')).toBe(false);
    await gateway.ready;
    const { backlog } = outbox;
    outbox.backlog = () => Promise.reject(new GatewayError('OUTBOX_FAILED', 'the database is away'));
    const { families, errors } = await sdk.collect();
    expect(errors).toEqual([]);
    expect(families.get('quartermaster_gateway_notary_up')?.samples[0]?.value).toBe(1);
    expect(families.get('quartermaster_gateway_last_error_time')?.samples[0]?.labels).toEqual({
      code: 'OUTBOX_FAILED',
    });
    for (const name of ['leaves_queued', 'leaves_oldest_age', 'leaves_dead', 'batches_queued'])
      expect(families.has(`quartermaster_gateway_${name}`)).toBe(false);
    expect(
      readExposition(await gateway.prometheus()).get('quartermaster_gateway_leaves_queued')?.samples,
    ).toEqual([]);
    outbox.backlog = backlog;
    expect((await sdk.collect()).families.has('quartermaster_gateway_leaves_queued')).toBe(true);
  } finally {
    await gateway.close();
  }
});
