import { GatewayError } from '../error.ts';
import type { PostgresPool } from './connection.ts';
import { type EventsOptions, faultsOfEvents } from './events-options.ts';
import { DEFAULT_SCHEMA, faultOfIdentifier } from './names.ts';

const HOUR_MS = 3_600_000;

/** What {@link postgresOutbox} takes. Only `pool` is required. */
export interface PostgresOutboxOptions {
  /**
   * A `pg.Pool` on the gateway's database; a few connections of it are used at a time. It stays the caller's, who ends it after
   * the gateway is closed, and listens to its `error` events. PgBouncer in transaction mode may be in between.
   */
  readonly pool: PostgresPool;

  /**
   * Where the outbox's own tables live, whose names begin with `outbox_`. One schema is one cluster's: gateways of two clusters on
   * one database take two. Default: `quartermaster_outbox`.
   */
  readonly schema?: string | undefined;

  /** The gateway's own table, into which anchors are written back. Default: they are not. */
  readonly events?: EventsOptions | undefined;

  /**
   * Leaves that `submit` fills it to at most, dead letters included, 1 to 1,000,000,000. Default: 10,000,000, about 2 GB. Only
   * `submit` is ever refused: to refuse `enqueue` would fail the transaction of the gateway, whose event is there as well.
   */
  readonly maxLeaves?: number | undefined;

  /** How long a batch stays in hand of a process that died, 1,000 to 3,600,000 ms. Default: 30,000. */
  readonly leaseMs?: number | undefined;

  /** How long to wait for the answer to a statement, 100 to 3,600,000 ms. Default: 60,000. */
  readonly statementTimeoutMs?: number | undefined;
}

export interface PostgresSettings {
  readonly pool: PostgresPool;
  readonly schema: string;
  readonly events: EventsOptions | undefined;
  readonly maxLeaves: number;
  readonly leaseMs: number;
  readonly statementTimeoutMs: number;
}

const KNOWN: ReadonlySet<string> = new Set([
  'pool',
  'schema',
  'events',
  'maxLeaves',
  'leaseMs',
  'statementTimeoutMs',
]);

/** @throws {GatewayError} BAD_OPTIONS, with every mistake in its message */
export function checkPostgresOptions(options: PostgresOutboxOptions): PostgresSettings {
  const mistakes = Object.keys(options ?? {})
    .filter((name) => !KNOWN.has(name))
    .map((name) => `${name} is no option`);
  const { pool, schema = DEFAULT_SCHEMA, events } = options ?? {};
  if (typeof pool?.connect !== 'function') mistakes.push('pool must be a pg.Pool');
  const schemaFault = faultOfIdentifier(schema);
  if (schemaFault !== undefined) mistakes.push(`schema ${schemaFault}`);
  if (events !== undefined) mistakes.push(...faultsOfEvents(events));
  const count = (
    name: 'maxLeaves' | 'leaseMs' | 'statementTimeoutMs',
    least: number,
    most: number,
    fallback: number,
  ) => {
    const value = options?.[name] ?? fallback;
    if (!(Number.isInteger(value) && value >= least && value <= most))
      mistakes.push(`${name} must be a whole number from ${least} to ${most}, not ${String(value)}`);
    return value;
  };
  const settings = {
    pool,
    schema,
    events,
    maxLeaves: count('maxLeaves', 1, 1_000_000_000, 10_000_000),
    leaseMs: count('leaseMs', 1_000, HOUR_MS, 30_000),
    statementTimeoutMs: count('statementTimeoutMs', 100, HOUR_MS, 60_000),
  };
  if (mistakes.length > 0) throw new GatewayError('BAD_OPTIONS', `postgresOutbox: ${mistakes.join('; ')}`);
  return settings;
}
