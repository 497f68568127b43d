import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import type { SealedBatch } from '../../../src/gateway/outbox.ts';
import {
  type PostgresConnection,
  type PostgresOutbox,
  type PostgresPool,
  postgresOutbox,
} from '../../../src/gateway/postgres/index.ts';
import { withClient } from '../../support/postgres-template.ts';
import { eventually, waitingBackend } from '../../support/postgres-waits.ts';
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts';
import { contextOf, leafOf, listed, numbersOf, partsOf } from '../outbox-contract.ts';
import {
  anchorIdOf,
  anchorOf,
  eventIdOf,
  type GatewayDatabase,
  openGatewayDatabase,
  taken,
} from './gateway-database.ts';

let gateway: GatewayDatabase;
let proxy: TcpProxy;
beforeAll(async () => {
  gateway = await openGatewayDatabase();
  proxy = await startTcpProxy(new URL(gateway.url));
});
afterAll(async () => {
  await gateway.close();
  await proxy.close();
});

/** When the connection is cut: the statement does not reach the server, or its answer does not come back. */
type Cut = 'before' | 'after';

/** A pool whose connections are cut at statement number `at`, counted from 1, and as often in a row as `times` says. */
class CuttingPool implements PostgresPool {
  readonly #pool: pg.Pool;
  readonly #at: number;
  readonly #cut: Cut;
  readonly #times: number;
  statements = 0;

  constructor(at: number, cut: Cut, times: number) {
    this.#pool = gateway.newPool({ connectionString: proxy.through(gateway.url), max: 1 });
    this.#at = at;
    this.#cut = cut;
    this.#times = times;
  }

  get wasCut(): boolean {
    return this.statements >= this.#at;
  }

  async connect(): Promise<PostgresConnection> {
    const client = await this.#pool.connect();
    return {
      query: async (statement) => {
        const number = ++this.statements;
        const isCut = number >= this.#at && number < this.#at + this.#times;
        if (isCut && this.#cut === 'before') proxy.cut();
        const result = await client.query(statement);
        if (!isCut) return result;
        proxy.cut();
        // What the driver says of a connection that is gone.
        return await client.query('SELECT 1');
      },
      release: (error) => client.release(error),
      on: (event, listener) => client.on(event, listener),
      removeListener: (event, listener) => client.removeListener(event, listener),
    };
  }
}

/** Again until it works, as a gateway does. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      expect(error).toMatchObject({ code: 'OUTBOX_FAILED' });
      if (tries === 10) throw error;
    }
  }
}

let runs = 0;
const events = { table: 'audit_events' };

async function statementsOfOpen(): Promise<number> {
  const pool = new CuttingPool(Number.POSITIVE_INFINITY, 'before', 0);
  const outbox = postgresOutbox({ pool, events });
  await outbox.open(contextOf());
  await outbox.close();
  return pool.statements;
}

/**
 * Runs the work on an empty outbox, once for each statement in it, with the connection cut there, before and after, once and twice in
 * a row.
 */
async function cutEverywhere(
  prepare: (outbox: PostgresOutbox, run: number) => Promise<SealedBatch | undefined>,
  work: (
    outbox: PostgresOutbox,
    batch: SealedBatch | undefined,
    run: number,
    straight: PostgresOutbox,
  ) => Promise<void>,
): Promise<void> {
  let cuts = 0;
  const opening = await statementsOfOpen();
  for (const cut of ['before', 'after'] as const) {
    for (const inARow of [1, 2]) {
      for (let at = 1; ; at++) {
        const run = ++runs;
        const straight = postgresOutbox({ pool: gateway.pool, events });
        await gateway.query(`DELETE FROM quartermaster_outbox.outbox_leaves`);
        await gateway.query(`DELETE FROM quartermaster_outbox.outbox_batches`);
        await gateway.query(`DELETE FROM quartermaster_outbox.outbox_settled`);
        await straight.open(contextOf({ newRequestId: () => crypto.randomUUID() }));
        await gateway.query('INSERT INTO audit_events (event_id) SELECT unnest($1::uuid[])', [
          [0, 1, 2, 3].map((n) => eventIdOf(run * 10 + n)),
        ]);
        const batch = await prepare(straight, run);
        const pool = new CuttingPool(opening + at, cut, inARow);
        const outbox = postgresOutbox({ pool, events });
        await outbox.open(contextOf({ newRequestId: () => crypto.randomUUID() }));
        await work(outbox, batch, run, straight);
        const { wasCut } = pool;
        await outbox.close();
        await straight.close();
        if (!wasCut) break;
        cuts++;
      }
    }
  }
  expect(cuts).toBeGreaterThan(3);
}

async function filled(outbox: PostgresOutbox, run: number): Promise<undefined> {
  for (let n = 0; n < 4; n++) await outbox.append(leafOf(n), eventIdOf(run * 10 + n));
}

async function sealed(outbox: PostgresOutbox, run: number): Promise<SealedBatch> {
  await filled(outbox, run);
  return await taken(outbox);
}

async function statesOf(outbox: PostgresOutbox): Promise<string[]> {
  const all = await listed(outbox.unanchored());
  return all
    .filter(({ state }) => state !== 'missing')
    .map(({ leaf, state }) => `${numbersOf(leaf)} ${state}`);
}

describe('a connection that is cut at any statement', () => {
  // Red when the outcome of a lost COMMIT is taken for a failure (taken twice), or for a success (lost).
  test('while leaves are taken: what was answered is there once, and nothing else is', async () => {
    await cutEverywhere(
      async () => undefined,
      async (outbox, _batch, _run, straight) => {
        const answers = await Promise.allSettled([0, 1, 2].map((n) => outbox.append(leafOf(n), undefined)));
        const expected = answers.flatMap(({ status }, n) => (status === 'fulfilled' ? [`${n} queued`] : []));
        expect(await statesOf(straight)).toEqual(expected);
        const sequences = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
        if (sequences.length > 0) expect((await taken(straight)).sequences).toEqual(sequences);
      },
    );
  });

  // Red when the batch sealed without an answer waits for its lease, or when a second is sealed under another request_id.
  test('while a batch is sealed: the same members come from the next take', async () => {
    await cutEverywhere(filled, async (outbox, _batch, _run, straight) => {
      const batch = await insist(() => outbox.take(3, true));
      expect(numbersOf(batch!.packedLeaves)).toEqual([0, 1, 2]);
      expect(numbersOf((await insist(() => outbox.take(3, true)))!.packedLeaves)).toEqual([3]);
      expect(await straight.backlog()).toMatchObject({ leaves: 4, batches: 2 });
    });
  });

  // Red when a settle that was carried out without an answer is later said not to have been there.
  test('while a batch is settled: the rows of the events and the outbox change together, once', async () => {
    await cutEverywhere(sealed, async (outbox, batch, run, straight) => {
      expect(await insist(() => outbox.settle(batch!, anchorOf(run)))).toBe(true);
      const { rows } = await gateway.query(
        'SELECT leaf_index FROM audit_events WHERE anchor_id = $1 AND notarized ORDER BY event_id',
        [anchorIdOf(run)],
      );
      expect(rows.map(({ leaf_index }) => leaf_index)).toEqual([0, 1, 2, 3]);
      expect(await statesOf(straight)).toEqual([]);
      expect(await straight.settle(batch!, anchorOf(run))).toBe(false);
    });
  });

  test('while a batch is split: there are the parts, once', async () => {
    await cutEverywhere(sealed, async (outbox, batch, run, straight) => {
      const parts = partsOf(batch!, [1], run * 256);
      expect(await insist(() => outbox.split(batch!, parts))).toBe(true);
      expect(await straight.take(9, true)).toEqual(parts[0]);
      expect(await straight.take(9, true)).toEqual(parts[1]);
      expect(await straight.take(9, true)).toBeUndefined();
    });
  });

  test('while a batch is buried, revived and put back: it stays one batch', async () => {
    await cutEverywhere(sealed, async (outbox, batch, _run, straight) => {
      const refusal = { status: 'NOT_FOUND', reason: '', message: '' };
      expect(await insist(() => outbox.bury(batch!, refusal))).toBe(true);
      expect(await insist(() => outbox.revive(batch!.requestId))).toBe(true);
      expect(await insist(() => outbox.take(9, true))).toEqual(batch);
      await insist(() => outbox.release(batch!));
      expect(await straight.take(9, true)).toEqual(batch);
    });
  });

  // Red when a transaction that is under way is taken for one that failed: its leaf is taken twice.
  test('while a COMMIT is under way: the answer waits for what becomes of it', async () => {
    const schema = 'slow_commit';
    const straight = postgresOutbox({ pool: gateway.pool, schema });
    await straight.migrate();
    await straight.open(contextOf());
    await gateway.query(`CREATE TABLE gate ();
      CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN LOCK TABLE gate IN SHARE MODE; RETURN NULL; END';
      CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON ${schema}.outbox_leaves
      DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait_at_gate()`);
    const pool = gateway.newPool({ connectionString: proxy.through(gateway.url), max: 1 });
    const outbox = postgresOutbox({ pool, schema });
    await outbox.open(contextOf());
    await withClient(gateway.url, async (observer) => {
      await observer.query('BEGIN; LOCK TABLE gate IN ACCESS EXCLUSIVE MODE');
      const append = outbox.append(leafOf(1), undefined);
      await withClient(gateway.url, async (onlooker) => {
        await waitingBackend(onlooker, 'Lock', /^COMMIT$/);
        proxy.cut();
        await eventually(async () => {
          const { rows } = await onlooker.query(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_xact_status%' AND datname = current_database()",
          );
          return rows.length > 0 ? true : undefined;
        });
      });
      await observer.query('COMMIT');
      expect(await append).toBeGreaterThan(0);
    });
    expect(await statesOf(straight)).toEqual(['1 queued']);
    await outbox.close();
    await straight.close();
  });

  test('while the tables are made: they are there in the end', async () => {
    for (const cut of ['before', 'after'] as const) {
      for (let at = 1; ; at++) {
        const schema = `migrated_${++runs}`;
        const pool = new CuttingPool(at, cut, 1);
        await postgresOutbox({ pool, schema }).migrate();
        const { rows } = await gateway.query(`SELECT version FROM ${schema}.outbox_migrations`);
        expect(rows).toEqual([{ version: 1 }]);
        if (!pool.wasCut) break;
      }
    }
  });
});

describe('a database that is away', () => {
  test('is OUTBOX_FAILED with the cause, and nothing is kept back from later', async () => {
    const away = await startTcpProxy(new URL(gateway.url));
    const pool = gateway.newPool({ connectionString: away.through(gateway.url), max: 2 });
    const outbox = postgresOutbox({ pool, statementTimeoutMs: 60_000 });
    await outbox.open(contextOf());
    await away.close();
    const failures = [
      outbox.append(leafOf(1), undefined),
      outbox.take(1, true),
      outbox.backlog(),
      outbox.settled([1]),
      listed(outbox.unanchored()),
      outbox.keepEvidence('{}'),
    ];
    for (const failure of await Promise.allSettled(failures)) {
      expect(failure).toMatchObject({
        status: 'rejected',
        reason: { code: 'OUTBOX_FAILED', cause: { code: 'ECONNREFUSED' } },
      });
    }
    await outbox.close();
  });

  // Red without query_timeout.
  test('is found out when it is silent: the statement is given up, and its connection with it', async () => {
    const silent = await startTcpProxy(new URL(gateway.url));
    const pool = gateway.newPool({ connectionString: silent.through(gateway.url), max: 1 });
    const outbox = postgresOutbox({ pool, schema: 'silent', statementTimeoutMs: 1_500 });
    await outbox.migrate();
    await outbox.open(contextOf());
    silent.freeze();
    // The second try goes by a new connection.
    expect(await outbox.append(leafOf(1), undefined)).toBeGreaterThan(0);
    silent.freeze();
    expect(numbersOf((await outbox.take(1, true))!.packedLeaves)).toEqual([1]);
    await outbox.close();
    await silent.close();
  });
});
