import { faultOfIdentifier, quoteIdentifier } from './names.ts';

/**
 * The gateway's own table of events, into which anchors are written back. Names are taken as they are: upper case, spaces and
 * quotes included.
 */
export interface EventsOptions {
  readonly table: string;
  /** Default: whatever the `search_path` of the gateway's role finds. */
  readonly schema?: string | undefined;
  readonly columns?: EventsColumns | undefined;
  /**
   * Which events should have an anchor at all: a column, and the values it may have then. Only `unanchored()` reads it, to tell
   * what is missing. Default: every event.
   */
  readonly only?: Readonly<Record<string, FilterValue | readonly FilterValue[]>> | undefined;
}

export type FilterValue = string | number | boolean;

export interface EventsColumns {
  /** Of type uuid, bigint, integer, smallint, text or varchar, with a unique index. Default: `event_id`. */
  readonly eventId?: string | undefined;
  /** Of type boolean, set to true; false where there is none. Default: `notarized`. */
  readonly notarized?: string | false | undefined;
  /** Of type uuid, text or varchar. Default: `anchor_id`. */
  readonly anchorId?: string | undefined;
  /** Of type integer or bigint. Default: `leaf_index`. */
  readonly leafIndex?: string | undefined;
}

/** What the options come to. */
export interface EventsNames {
  /** as it is written in SQL */
  readonly table: string;
  readonly eventId: string;
  readonly notarized: string | undefined;
  readonly anchorId: string;
  readonly leafIndex: string;
  readonly only: readonly { readonly column: string; readonly values: readonly string[] }[];
  /** columns that are read */
  readonly read: readonly string[];
  /** columns that are written */
  readonly written: readonly string[];
}

export function eventsNames({ table, schema, columns = {}, only = {} }: EventsOptions): EventsNames {
  const { eventId = 'event_id', notarized, anchorId = 'anchor_id', leafIndex = 'leaf_index' } = columns;
  const flag = notarized === false ? undefined : (notarized ?? 'notarized');
  const filter = Object.entries(only).map(([column, values]) => ({
    column,
    values: (Array.isArray(values) ? values : [values]).map(String),
  }));
  return {
    table: [...(schema === undefined ? [] : [schema]), table].map(quoteIdentifier).join('.'),
    eventId,
    notarized: flag,
    anchorId,
    leafIndex,
    only: filter,
    read: [...new Set([eventId, anchorId, ...filter.map(({ column }) => column)])],
    written: [...(flag === undefined ? [] : [flag]), anchorId, leafIndex],
  };
}

const COLUMN_OPTIONS: ReadonlySet<string> = new Set(['eventId', 'notarized', 'anchorId', 'leafIndex']);

/** @returns what is wrong, each with the name of the option */
export function faultsOfEvents(events: EventsOptions): string[] {
  if (typeof events !== 'object' || events === null) return ['events must be an object'];
  const { table, schema, columns = {}, only = {} } = events;
  const faults: string[] = [];
  const check = (option: string, name: unknown): void => {
    const fault = faultOfIdentifier(name);
    if (fault !== undefined) faults.push(`${option} ${fault}`);
  };
  check('events.table', table);
  if (schema !== undefined) check('events.schema', schema);
  for (const [option, column] of Object.entries(columns)) {
    if (!COLUMN_OPTIONS.has(option)) faults.push(`events.columns.${option} is no option`);
    else if (column !== undefined && !(option === 'notarized' && column === false))
      check(`events.columns.${option}`, column);
  }
  for (const column of Object.keys(only))
    check(`a column of events.only, ${JSON.stringify(column)},`, column);
  return faults;
}
