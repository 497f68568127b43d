/** What a gateway process does: submits events as fast as they are taken, and waits for their anchors, or not. */
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool } from 'pg';
import { QuartermasterNotary } from '#gen/quartermaster/v1/notary_pb.js';
import { keepInFlight, type LoadEvents, type Measured, type Pacing } from '../src/cli/load/keep-in-flight.ts';
import { createGateway, journalOutbox, memoryOutbox, type Outbox } from '../src/gateway/index.ts';
import { postgresOutbox } from '../src/gateway/postgres/index.ts';
import { createClient } from '../src/rpc/client.ts';

/** Events of one caller's go: leaves of one batch, too. */
export const EVENTS_AT_ONCE = 1_000;

export type OutboxKind = 'memory' | 'journal' | 'postgres';

export interface GatewayLoad {
  readonly outbox: OutboxKind;
  /** of the notary; where nobody listens, leaves stay in the outbox */
  readonly address: string;
  readonly clusterId: string;
  readonly keys: readonly string[] | undefined;
  /** of the gateway's own database */
  readonly databaseUrl: string;
  /** whether a go ends when its events are anchored, or when the outbox has taken them */
  readonly untilAnchored: boolean;
}

interface OpenedOutbox extends AsyncDisposable {
  readonly outbox: Outbox;
}

/** No outbox is full while it is measured. */
const ENOUGH = 100_000_000;

/** Leaves as many as a go, again and again: making new ones would be measured, too. */
const LEAVES = Array.from({ length: EVENTS_AT_ONCE }, () => new Uint8Array(randomBytes(32)));

/** Each call that is counted is one go of {@link EVENTS_AT_ONCE} events. */
export async function loadGateway(load: GatewayLoad, pacing: Pacing, events: LoadEvents): Promise<Measured> {
  await using opened = await openOutbox(load);
  const gateway = createGateway({
    endpoint: load.address,
    clusterId: load.clusterId,
    outbox: opened.outbox,
    batch: { maxLeaves: EVENTS_AT_ONCE },
    ...(load.keys === undefined ? {} : { verification: { keys: load.keys } }),
    logger: { info() {}, warn() {}, error: console.error },
  });
  try {
    const go = async () => {
      const handles = await Promise.all(LEAVES.map((leaf) => gateway.submit(leaf)));
      if (load.untilAnchored) await handles.at(-1)?.anchored;
    };
    return await keepInFlight(pacing, go, events);
  } finally {
    await gateway.close({ timeoutMs: load.untilAnchored ? 10_000 : 0 });
  }
}

async function openOutbox({ outbox, databaseUrl }: GatewayLoad): Promise<OpenedOutbox> {
  const closing = new AsyncDisposableStack();
  const close = { [Symbol.asyncDispose]: () => closing.disposeAsync() };
  switch (outbox) {
    case 'memory':
      return { outbox: memoryOutbox({ maxLeaves: ENOUGH }), ...close };
    case 'journal': {
      const directory = mkdtempSync(join(tmpdir(), 'quartermaster-bench-journal-'));
      closing.defer(() => rmSync(directory, { recursive: true }));
      return { outbox: journalOutbox({ directory, maxLeaves: ENOUGH, maxBytes: 64 * ENOUGH }), ...close };
    }
    case 'postgres': {
      const pool = new Pool({ connectionString: databaseUrl, max: 10 });
      closing.defer(() => pool.end());
      const opened = postgresOutbox({
        pool,
        schema: `outbox_${randomBytes(6).toString('hex')}`,
        maxLeaves: ENOUGH,
      });
      await opened.migrate();
      return { outbox: opened, ...close };
    }
  }
}

/** The same batches in bare calls, one after the other: what the gateway adds is what it takes longer. */
export async function loadBareCalls(
  { address, clusterId }: Pick<GatewayLoad, 'address' | 'clusterId'>,
  pacing: Pacing,
  events: LoadEvents,
): Promise<Measured> {
  const notary = createClient(QuartermasterNotary, address);
  const packedLeaves = Buffer.concat(LEAVES);
  try {
    const call = () =>
      notary.createAnchor({ clusterId, packedLeaves, requestId: randomUUID() }, { timeoutMs: 60_000 });
    return await keepInFlight(pacing, call, events);
  } finally {
    notary.close();
  }
}
