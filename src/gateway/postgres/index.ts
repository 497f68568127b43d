// The outbox in the gateway's own Postgres: the public entry `quartermaster/gateway/postgres`.

export type { PostgresConnection, PostgresPool, PostgresStatement } from './connection.ts';
export type { KyselyTransaction, LeafOfEvent, PgTransaction, PostgresTransaction } from './enqueue.ts';
export type { EventsColumns, EventsOptions, FilterValue } from './events-options.ts';
export { type GrantSqlOptions, outboxGrantSql } from './grants.ts';
export { type MigrationSqlOptions, outboxMigrationSql } from './migrations.ts';
export type { PostgresOutboxOptions } from './options.ts';
export { PostgresOutbox, postgresOutbox } from './postgres-outbox.ts';
