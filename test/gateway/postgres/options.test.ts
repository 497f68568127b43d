import { describe, expect, test } from '@jest/globals';
import { GatewayError } from '../../../src/gateway/error.ts';
import { postgresOutbox } from '../../../src/gateway/postgres/index.ts';

const pool = { connect: () => Promise.reject(new Error('the database is away')) };

function mistakesOf(options: object): string {
  try {
    postgresOutbox(options as never);
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError);
    expect(error).toMatchObject({ code: 'BAD_OPTIONS' });
    return (error as Error).message;
  }
  throw new Error('nothing was wrong');
}

describe('the options of the Postgres outbox', () => {
  test('need no more than a pool, and nothing is asked of it before it is opened', () => {
    expect(postgresOutbox({ pool }).kind).toBe('postgres');
  });

  test('are judged all at once', () => {
    expect(
      mistakesOf({
        schema: '',
        maxLeafs: 1,
        maxLeaves: 0,
        leaseMs: 999,
        statementTimeoutMs: 1.5,
        events: {
          table: 'x'.repeat(64),
          columns: { eventId: 'ä'.repeat(32), leaf: 'x' },
          only: { 'a\0': 1 },
        },
      }),
    ).toBe(
      'postgresOutbox: maxLeafs is no option; pool must be a pg.Pool; schema is empty; ' +
        'events.table is longer than 63 bytes, which Postgres would cut; ' +
        'events.columns.eventId is longer than 63 bytes, which Postgres would cut; events.columns.leaf is no option; ' +
        'a column of events.only, "a\\u0000", is no text that Postgres can store; ' +
        'maxLeaves must be a whole number from 1 to 1000000000, not 0; ' +
        'leaseMs must be a whole number from 1000 to 3600000, not 999; ' +
        'statementTimeoutMs must be a whole number from 100 to 3600000, not 1.5',
    );
    expect(mistakesOf({ pool, events: null })).toContain('events must be an object');
    expect(mistakesOf({ pool, events: {} })).toContain('events.table is not a string');
    expect(mistakesOf(undefined as never)).toContain('pool must be a pg.Pool');
  });
});
