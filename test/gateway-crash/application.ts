// A gateway, as small as one can be: writes audit events to its own database, and links the client. It is killed all the time.

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { commitEvent } from '../../src/gateway/commit-event.ts';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import { realEnvironment } from '../../src/gateway/environment.ts';
import { GatewayError } from '../../src/gateway/error.ts';
import { nodeFiles } from '../../src/gateway/journal/file-system.ts';
import { JournalOutbox } from '../../src/gateway/journal/journal.ts';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import { postgresOutbox } from '../../src/gateway/postgres/index.ts';
import { type ApplicationOptions, OPTIONS } from './application-options.ts';
import { eventsWithoutAnchor, insertEvent, writeAnchor } from './audit-events.ts';
import type { Point } from './plan.ts';
import { Report } from './report.ts';

/** Of events that are inserted and then not committed. */
const ROLLED_BACK_EACH = 6;
/** A busy machine and fsync take this long; a notary would take seconds. */
const SLOW_SUBMIT_MS = 2_000;
const LAST_LIFE_MS = 60_000;

const options = JSON.parse(process.env[OPTIONS] ?? '{}') as ApplicationOptions;
const report = new Report(options.reportFile);
const database = new pg.Pool({ connectionString: options.databaseUrl, max: 5 });
database.on('error', () => {});
const own = await database.connect();

const passings = new Map<Point, number>();
function reached(point: Point): Promise<never> | undefined {
  const passing = (passings.get(point) ?? 0) + 1;
  passings.set(point, passing);
  if (options.dieAt?.point !== point || options.dieAt.passing !== passing) return undefined;
  report.write({ type: 'dying', point });
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}

const inPostgres =
  options.outbox === 'postgres'
    ? postgresOutbox({ pool: database, events: { table: 'audit_events' }, leaseMs: 1_000 })
    : undefined;
// As `journalOutbox` makes it, but with segments as small as it never has them: they are tidied up between any two deaths.
const journal = {
  directory: options.journalDirectory,
  maxLeaves: 100_000,
  maxBytes: 1_024 ** 3,
  segmentBytes: options.segmentBytes,
  isSynced: true,
};
const inJournal = options.outbox === 'journal' ? new JournalOutbox(journal, nodeFiles) : undefined;
const gateway = createGatewayIn(
  { ...realEnvironment, reached },
  {
    endpoint: options.endpoint,
    clusterId: options.clusterId,
    outbox: inPostgres ?? inJournal ?? memoryOutbox(),
    batch: {
      maxLeaves: options.maxLeaves,
      flushIntervalMs: options.flushIntervalMs,
      inFlight: options.inFlight,
    },
    retry: { minDelayMs: 5, maxDelayMs: 100, attemptTimeoutMs: 600 },
    verification: { keys: [options.vkey] },
    async onAnchored(batch) {
      for (const leaf of batch) {
        const { eventId = '', anchorId, leafIndex } = leaf;
        report.write({ type: 'told', eventId, anchorId, leafIndex });
        // The Postgres outbox writes to the row itself, in the transaction in which it forgets the leaf.
        if (inPostgres !== undefined) continue;
        await writeAnchor(database, eventId, { anchorId, leafIndex, receipt: leaf.toTlogProof() });
        await reached('row.anchored');
      }
    },
    onDeadLetter: ({ refusal, leaves }) =>
      report.write({ type: 'buried', status: refusal.status, leaves: leaves.length }),
  },
);
gateway.on('alarm', ({ code, message }) => report.write({ type: 'alarm', code, message }));

let isClosing = false;
process.once('SIGTERM', async () => {
  isClosing = true;
  const { leaves } = await gateway.close({ timeoutMs: 100 });
  report.write({ type: 'closed', left: leaves });
  process.exit(0);
});

async function submit(eventId: string, leaf: Uint8Array): Promise<void> {
  const startedAt = performance.now();
  const handle = await gateway.submit({ leaf, eventId }).catch((error: unknown) => {
    // Closed since the commit of the row: the same as if the process had been killed here.
    if (error instanceof GatewayError && error.code === 'CLOSED') return undefined;
    throw error;
  });
  if (handle === undefined) return;
  report.write({ type: 'taken', eventId });
  const ms = performance.now() - startedAt;
  if (ms > SLOW_SUBMIT_MS) report.write({ type: 'slow-submit', ms });
  handle.anchored.then(
    ({ anchorId, leafIndex }) => report.write({ type: 'resolved', eventId, anchorId, leafIndex }),
    () => {}, // closed first, or in the dead-letter store for now
  );
}

/**
 * A row can be committed and its leaf not be in the journal: no transaction covers both. Who has such an outbox looks at start,
 * in this order: first what the outbox has, then which rows have no anchor. The other way round a leaf that is brought home in
 * between would be taken for one that was never there, and anchored twice.
 */
async function submitWhatTheOutboxDoesNotKnow(): Promise<void> {
  const known = new Set<string | undefined>();
  for await (const { eventId } of gateway.reconcile()) known.add(eventId);
  for (const { eventId, leaf } of await eventsWithoutAnchor(database)) {
    if (known.has(eventId)) continue;
    report.write({ type: 'submitted-again', eventId });
    await submit(eventId, leaf);
  }
}

async function commitOne(isRolledBack: boolean): Promise<void> {
  const eventId = randomUUID();
  const event = { eventId, actor: 'alice', action: 'secret.read' };
  const { leaf, salt } = commitEvent(event);
  report.write({ type: 'began', eventId, leaf: Buffer.from(leaf).toString('hex'), pid: process.pid });
  await own.query('BEGIN');
  await insertEvent(own, { eventId, event, salt, leaf });
  await inPostgres?.enqueue(own, { eventId, leaf });
  await reached('event.inserted');
  await own.query(isRolledBack ? 'ROLLBACK' : 'COMMIT');
  if (isRolledBack) return report.write({ type: 'rolled-back', eventId });
  await reached('event.committed');
  if (inPostgres === undefined) await submit(eventId, leaf);
}

await gateway.ready;
if (inJournal !== undefined) await submitWhatTheOutboxDoesNotKnow();
console.log('ready');
for (let number = 1; number <= options.events && !isClosing; number++) {
  await commitOne(number % ROLLED_BACK_EACH === 0);
  // A process that lives through it all has something to send all the time.
  if (options.outbox === 'memory') await delay(10);
}
if (options.isLast) {
  report.write({ type: 'replayed', batches: await gateway.replay() });
  await gateway.flush({ timeoutMs: LAST_LIFE_MS });
  for await (const { eventId = '', state } of gateway.reconcile())
    report.write({ type: 'unanchored', eventId, state });
  const { leaves } = await gateway.close({ timeoutMs: LAST_LIFE_MS });
  report.write({ type: 'closed', left: leaves });
  own.release();
  await database.end();
} else if (options.dieAt !== undefined) {
  await gateway.flush({ timeoutMs: options.dieAt.patienceMs });
  report.write({ type: 'outlived' });
  process.kill(process.pid, 'SIGKILL');
} else {
  // Until it is killed or told to close.
  setInterval(() => {}, 1_000);
}
