// What the role of a gateway may do, and no more: one list, from which the SQL is made and by which a role is judged.

import { GatewayError } from '../error.ts';
import type { Query } from './database.ts';
import { type EventsOptions, eventsNames } from './events-options.ts';
import { DEFAULT_SCHEMA, type OutboxNames, outboxNames, quoteIdentifier } from './names.ts';

const TAKE_SIGNATURE = 'uuid, interval, uuid[], integer, boolean, uuid, bigint';

function tableGrants(names: OutboxNames): readonly (readonly [string, readonly string[]])[] {
  return [
    // UPDATE, because rows are locked.
    [names.leaves, ['SELECT', 'INSERT', 'UPDATE', 'DELETE']],
    [names.batches, ['SELECT', 'INSERT', 'UPDATE', 'DELETE']],
    [names.settled, ['SELECT', 'INSERT', 'UPDATE', 'DELETE']],
    [names.checkpoints, ['SELECT', 'INSERT', 'UPDATE']],
    [names.evidence, ['SELECT', 'INSERT']],
    [names.migrations, ['SELECT']],
  ];
}

export interface GrantSqlOptions {
  /** The role that the gateway logs in as. */
  readonly role: string;
  /** As given to `postgresOutbox`. */
  readonly schema?: string | undefined;
  /** As given to `postgresOutbox`. */
  readonly events?: EventsOptions | undefined;
}

/**
 * All that the role of a gateway needs, where it does not own the tables. A program that only calls `enqueue` needs no more than
 * USAGE on the schema and INSERT on `outbox_leaves`.
 *
 * @example
 * console.log(outboxGrantSql({ role: 'gateway', events: { table: 'audit_events' } }));
 */
export function outboxGrantSql({ role, schema = DEFAULT_SCHEMA, events }: GrantSqlOptions): string {
  const names = outboxNames(schema);
  const to = `TO ${quoteIdentifier(role)};\n`;
  const grants = [
    `GRANT USAGE ON SCHEMA ${names.schema} ${to}`,
    ...tableGrants(names).map(([table, rights]) => `GRANT ${rights.join(', ')} ON ${table} ${to}`),
    `GRANT EXECUTE ON FUNCTION ${names.take}(${TAKE_SIGNATURE}) ${to}`,
  ];
  if (events !== undefined) {
    const { table, read, written } = eventsNames(events);
    const columns = (list: readonly string[]): string => list.map(quoteIdentifier).join(', ');
    grants.push(`GRANT SELECT (${columns(read)}), UPDATE (${columns(written)}) ON ${table} ${to}`);
  }
  return grants.join('');
}

/** @throws {GatewayError} OUTBOX_FAILED, with everything that the role lacks */
export async function checkGrants(
  query: Query,
  names: OutboxNames,
  events: EventsOptions | undefined,
): Promise<void> {
  const wanted = tableGrants(names).flatMap(([table, rights]) => rights.map((right) => [table, '', right]));
  if (events !== undefined) {
    const { table, read, written } = eventsNames(events);
    wanted.push(...read.map((column) => [table, column, 'SELECT']));
    wanted.push(...written.map((column) => [table, column, 'UPDATE']));
  }
  const rows = await query(
    `SELECT wanted_right || ' on ' || wanted_table || CASE WHEN wanted_column <> '' THEN '.' || quote_ident(wanted_column) ELSE '' END
  AS lacking, current_user::text AS role
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (wanted_table, wanted_column, wanted_right)
WHERE NOT CASE WHEN wanted_column = '' THEN has_table_privilege(wanted_table, wanted_right)
  ELSE has_column_privilege(wanted_table, wanted_column, wanted_right) END
UNION ALL
SELECT 'EXECUTE on function ' || $4, current_user::text WHERE NOT has_function_privilege($4 || $5, 'EXECUTE')`,
    [
      wanted.map(([table]) => table),
      wanted.map(([, column]) => column),
      wanted.map(([, , right]) => right),
      names.take,
      `(${TAKE_SIGNATURE})`,
    ],
  );
  if (rows.length === 0) return;
  throw new GatewayError(
    'OUTBOX_FAILED',
    `the role ${rows[0]?.role} lacks ${rows.map(({ lacking }) => lacking).join(', ')}: outboxGrantSql() tells what to grant`,
  );
}
