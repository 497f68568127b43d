import { EVENTS_AT_ONCE, type OutboxKind } from '../gateway-load.ts';
import type { Load } from '../load-worker.ts';
import { type Setting, speedOf } from '../setting.ts';
import { type Figures, type Row, type Section, target } from '../table.ts';

/** Callers of `submit`, each with a go of events at a time. */
const CALLERS = 4;

const OUTBOXES: readonly OutboxKind[] = ['memory', 'journal', 'postgres'];
/** Nobody listens there: leaves stay in the outbox. */
const NOWHERE = '127.0.0.1:1';

/** What the gateway client takes, and what it adds to bare calls. */
export function gatewaySection(setting: Setting): Section {
  const bare: Row = {
    id: 'bare',
    labels: ['bare CreateAnchor', '1 batch'],
    measure: async () => {
      const { address, clusterId } = await freshCluster(setting);
      return measure(setting, { kind: 'bare-batches', address, clusterId, ...setting.pacing(1) });
    },
  };
  const anchored = (outbox: OutboxKind, verified: boolean): Row => ({
    id: `${outbox} ${verified ? 'verified' : 'believed'}`,
    labels: [`${outbox}, ${verified ? 'answers verified' : 'no keys'}`, 'until anchored'],
    measure: async () => {
      const { keys, ...where } = await freshCluster(setting);
      const load = { outbox, ...where, keys: verified ? keys : undefined, untilAnchored: true };
      return measure(setting, { kind: 'gateway', ...load, ...setting.pacing(CALLERS) });
    },
  });
  const submits = OUTBOXES.map(
    (outbox): Row => ({
      id: `${outbox} submits`,
      labels: [`${outbox}, notary away`, 'until taken'],
      measure: async () => {
        const where = { ...(await freshCluster(setting)), address: NOWHERE, keys: undefined };
        const load = { outbox, ...where, untilAnchored: false };
        return measure(setting, { kind: 'gateway', ...load, ...setting.pacing(CALLERS) });
      },
    }),
  );
  return {
    title: 'The gateway client',
    about: `One gateway process submits events, ${EVENTS_AT_ONCE.toLocaleString('en')} at a time from each of ${CALLERS} callers, and the client sends them in batches of as many, one
in flight; beside it the same batches in bare calls, one in flight. CPU is in seconds for a million events: of the gateway
process, and of gateway, server and Postgres together.`,
    labelHeads: ['outbox', 'an event counts'],
    columns: [
      { key: 'perSecond', head: 'events/s', digits: 0 },
      { key: 'p50Ms', head: 'p50 ms', digits: 2 },
      { key: 'p99Ms', head: 'p99 ms', digits: 2 },
      { key: 'clientCpu', head: 'gateway CPU', digits: 2 },
      { key: 'allCpu', head: 'all CPU', digits: 2 },
    ],
    rows: [bare, anchored('memory', false), ...OUTBOXES.map((outbox) => anchored(outbox, true)), ...submits],
    targets: (results) => [
      target(
        'CPU of gateway, server and Postgres, memory outbox beside bare calls',
        '',
        results.ratio('memory believed', 'bare', 'allCpu'),
        { below: 1.15 },
      ),
      target(
        'events taken by the journal, on disk',
        '/s',
        results.of('journal submits', 'perSecond'),
        { least: 50_000 },
        0,
      ),
    ],
  };
}

async function freshCluster({ server, database }: Setting) {
  const [clusterId = ''] = await server.createClusters(1);
  const keys = await server.keysOf(clusterId);
  return { address: server.address, clusterId, keys, databaseUrl: database.ownerUrl };
}

async function measure(setting: Setting, load: Load): Promise<Figures> {
  const before = setting.cpuSeconds();
  const measured = await setting.client.run(load);
  const after = setting.cpuSeconds();
  const millions = (measured.allCalls * EVENTS_AT_ONCE) / 1e6;
  const clientCpu = (after.client - before.client) / millions;
  return {
    ...speedOf(measured, EVENTS_AT_ONCE),
    clientCpu,
    allCpu: clientCpu + (after.others - before.others) / millions,
  };
}
