// The outbox in Postgres and what it is used with. Nothing here runs: `npm run typecheck` is the test.

import { Kysely, type PostgresDialect } from 'kysely';
import pg from 'pg';
import {
  commitEvent,
  createGateway,
  hashEvent,
  journalOutbox,
  memoryOutbox,
  type Outbox,
} from '../../../src/gateway/index.ts';
import { type PostgresOutbox, postgresOutbox } from '../../../src/gateway/postgres/index.ts';
import { exactly, given } from './exactly.ts';

interface Database {
  audit_events: { event_id: string; anchor_id: string | null };
}
declare const dialect: PostgresDialect;
declare const event: { readonly type: string };
const pool = new pg.Pool();
const outbox = postgresOutbox({ pool });

exactly<PostgresOutbox>()(outbox);
for (const each of [outbox, memoryOutbox(), journalOutbox({ directory: '/var/lib/gateway' })])
  given<Outbox>(each);
createGateway({ endpoint: 'notary:50051', clusterId: '', outbox });

// A transaction as `pg` and Kysely have it. Red when the port asks for what one of them lacks.
const client = await pool.connect();
await outbox.enqueue(client, { leaf: hashEvent(event) });
await outbox.enqueue(client, { eventId: 'id', ...commitEvent(event) });
await outbox.enqueue(client, [{ leaf: hashEvent(event), eventId: undefined }]);
await new Kysely<Database>({ dialect }).transaction().execute(async (transaction) => {
  exactly<void>()(await outbox.enqueue(transaction, { leaf: hashEvent(event), eventId: 'id' }));
});

// Red when a transaction is anything.
// @ts-expect-error without its event's transaction the leaf would be there without the event
await outbox.enqueue({ leaf: hashEvent(event) });
// @ts-expect-error an event is no leaf
await outbox.enqueue(client, event);
// @ts-expect-error the text of a statement is no transaction
await outbox.enqueue('BEGIN', { leaf: hashEvent(event) });

postgresOutbox({
  pool,
  schema: 'outbox',
  events: {
    table: 'audit_events',
    columns: { eventId: 'event_id', notarized: false },
    only: { classification: ['mutation'] },
  },
});
// @ts-expect-error a connection string is no pool
postgresOutbox({ pool: 'postgres://localhost' });
// @ts-expect-error misspelt
postgresOutbox({ pool, leaseSeconds: 30 });
// @ts-expect-error the directory is what a journal needs
journalOutbox({});
// @ts-expect-error one of two words
journalOutbox({ directory: '/var/lib/gateway', fsync: 'sometimes' });
