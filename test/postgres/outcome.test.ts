import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type pg from 'pg';
import { startEmbeddedPostgres } from '../../src/cli/dev/embedded-postgres.ts';
import { createPostgresStorage } from '../../src/postgres/storage.ts';
import { openTestDatabase, sharedTemplate, type TestDatabase } from '../support/database.ts';
import { startEmbeddedServer } from '../support/postgres-server.ts';
import { createTemplate, withClient } from '../support/postgres-template.ts';
import { eventually, waitingBackend } from '../support/postgres-waits.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { buildLog, groupAfter, newCluster } from './log-builder.ts';

const APPEND = /INSERT INTO heads/;
const NOTHING = { fromSize: 0, requestIds: [] };

describe('an append whose answer is lost', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase();
  });
  afterAll(async () => {
    await database.close();
  });

  for (const end of ['pg_terminate_backend', 'pg_cancel_backend']) {
    test(`is unknown after ${end} in the middle of the statement, and the next one works`, async () => {
      const { storage } = database;
      const { clusterId, head } = await buildLog(storage);
      const group = groupAfter(clusterId, head);
      await withClient(database.superuserUrl, async (blocker) => {
        await blocker.query('BEGIN');
        await blocker.query('SELECT FROM clusters WHERE cluster_id = $1 FOR UPDATE', [clusterId]);
        const appending = storage.append(group);
        await withClient(database.superuserUrl, async (observer) => {
          await observer.query(`SELECT ${end}($1)`, [await waitingBackend(observer, 'Lock', APPEND)]);
        });
        expect(await appending).toMatchObject({ kind: 'unknown' });
        await blocker.query('ROLLBACK');
      });
      expect(await storage.append(group)).toEqual({ kind: 'appended' });
    });

    test(`is unavailable after ${end} before the COMMIT of a locked append, since nothing was written`, async () => {
      const { storage } = database;
      const { clusterId } = await buildLog(storage);
      await withClient(database.superuserUrl, async (blocker) => {
        await blocker.query('BEGIN');
        await blocker.query('SELECT FROM clusters WHERE cluster_id = $1 FOR UPDATE', [clusterId]);
        const appending = storage.appendLocked(clusterId, NOTHING, (log) => groupAfter(clusterId, log.head));
        await withClient(database.superuserUrl, async (observer) => {
          const pid = await waitingBackend(observer, 'Lock', /FOR NO KEY UPDATE/);
          await observer.query(`SELECT ${end}($1)`, [pid]);
        });
        expect(await appending).toMatchObject({ kind: 'unavailable' });
      });
      expect(await storage.readLog(clusterId)).toMatchObject({ head: { size: 0 } });
    });
  }
});

describe('a database that cannot take an append now', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase();
  });
  afterAll(async () => {
    await database.close();
  });

  test('is unavailable when it is read-only', async () => {
    const { clusterId, head } = await buildLog(database.storage);
    const { name, databaseUrl } = database;
    const { superuserUrl } = sharedTemplate();
    await withClient(superuserUrl, (client) =>
      client.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`),
    );
    const storage = createPostgresStorage({ databaseUrl });
    expect(await storage.append(groupAfter(clusterId, head))).toMatchObject({
      kind: 'unavailable',
      cause: { code: '25006' },
    });
    await expect(storage.confirmDurable(clusterId, head)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await storage.close();
    await withClient(superuserUrl, (client) =>
      client.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`),
    );
  });

  test('is unavailable when no connection becomes free in time', async () => {
    const { clusterId, head } = await buildLog(database.storage);
    const storage = createPostgresStorage({
      databaseUrl: database.databaseUrl,
      poolSize: 1,
      connectTimeoutMs: 200,
    });
    await withClient(database.superuserUrl, async (blocker) => {
      await blocker.query('BEGIN');
      await blocker.query('SELECT FROM clusters WHERE cluster_id = $1 FOR UPDATE', [clusterId]);
      const first = storage.append(groupAfter(clusterId, head));
      expect(await storage.append(groupAfter(clusterId, head))).toMatchObject({ kind: 'unavailable' });
      // Seen red with one pool for all: writers that wait kept readers and health checks out.
      await storage.ping();
      expect(await storage.readLog(clusterId)).toMatchObject({ head: { size: 0 } });
      await blocker.query('ROLLBACK');
      expect(await first).toEqual({ kind: 'appended' });
    });
    await storage.close();
  });

  // Seen red without the time limit of writes (held until the lock is released), and when a statement given up was cancelled.
  test('is given up on by an append after its time: unknown, and still carried out', async () => {
    const { clusterId, head } = await buildLog(database.storage);
    const storage = createPostgresStorage({ databaseUrl: database.databaseUrl, answerTimeoutMs: 200 });
    const optimistic = groupAfter(clusterId, head);
    await withClient(database.superuserUrl, async (blocker) => {
      await blocker.query('BEGIN');
      await blocker.query('SELECT FROM clusters WHERE cluster_id = $1 FOR UPDATE', [clusterId]);
      expect(await storage.append(optimistic)).toMatchObject({
        kind: 'unknown',
        cause: { name: 'NoAnswer' },
      });
      const locked = storage.appendLocked(clusterId, NOTHING, (log) => groupAfter(clusterId, log.head));
      expect(await locked).toMatchObject({ kind: 'unavailable' });
      await expect(storage.confirmDurable(clusterId, head)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await blocker.query('ROLLBACK');
    });
    await eventually(async () => ((await storage.readLog(clusterId))?.head.size === 1 ? true : undefined));
    expect(await storage.readLog(clusterId)).toMatchObject({ head: optimistic.newHead });
    await storage.close();
  });

  // Seen red when only the connection that was silent was closed: the next ones were tried one by one.
  test('behind a network that vanished is asked on new connections after one time limit, not after one for each', async () => {
    const { clusterId, head } = await buildLog(database.storage);
    const proxy = await startTcpProxy(new URL(database.databaseUrl));
    const storage = createPostgresStorage({
      databaseUrl: proxy.through(database.databaseUrl),
      answerTimeoutMs: 300,
    });
    // Writes, since the first one on a connection is preceded by a look at what database it leads to.
    await Promise.all(Array.from({ length: 5 }, () => storage.confirmDurable(clusterId, head)));
    proxy.freeze();
    expect(await storage.append(groupAfter(clusterId, head))).toMatchObject({ kind: 'unknown' });
    expect(await storage.append(groupAfter(clusterId, head))).toEqual({ kind: 'appended' });
    await Promise.all(Array.from({ length: 5 }, () => storage.ping()));
    await storage.close();
    await proxy.close();
  });

  test('is given up on by reads after their time, and asked again on another connection', async () => {
    const { clusterId } = await buildLog(database.storage);
    const storage = createPostgresStorage({
      databaseUrl: database.databaseUrl,
      poolSize: 1,
      answerTimeoutMs: 200,
    });
    await withClient(database.superuserUrl, async (blocker) => {
      await blocker.query('BEGIN');
      await blocker.query('LOCK TABLE heads IN ACCESS EXCLUSIVE MODE');
      await expect(storage.readLog(clusterId)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await blocker.query('ROLLBACK');
    });
    expect(await storage.readLog(clusterId)).toMatchObject({ head: { size: 0 } });
    await storage.close();
  });

  test('is unavailable while it is stopped, and works again after, on the same storage', async () => {
    const server = await startEmbeddedServer();
    const own = await openTestDatabase(await createTemplate(server.superuserUrl));
    const { storage } = own;
    const { clusterId, head } = await buildLog(storage);
    const group = groupAfter(clusterId, head);
    await server.halt();
    expect(await storage.append(group)).toMatchObject({ kind: 'unavailable' });
    await expect(storage.readLog(clusterId)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(storage.ping()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(storage.createCluster(newCluster())).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const port = Number(new URL(own.databaseUrl).port);
    const again = await startEmbeddedPostgres({ directory: server.directory, port, log: () => {} });
    expect(again.port).toBe(port);
    expect(await storage.append(group)).toEqual({ kind: 'appended' });
    await own.close();
    await again.stop();
    await server.stop();
  });
});

describe('a synchronous standby that does not answer', () => {
  let server: Awaited<ReturnType<typeof startEmbeddedServer>>;
  let database: TestDatabase;
  beforeAll(async () => {
    server = await startEmbeddedServer();
    database = await openTestDatabase(await createTemplate(server.superuserUrl));
  });
  afterAll(async () => {
    await database.close();
    await server.stop();
  });

  /** From the moment on that a commit waits for the standby, which does not exist, until the end of `work`. */
  async function withoutStandby(work: () => Promise<void>): Promise<void> {
    await withClient(database.superuserUrl, async (client) => {
      const set = async (names: string) => {
        await client.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
        await client.query('SELECT pg_reload_conf()');
      };
      await set('nobody');
      try {
        await withClient(database.superuserUrl, (observer) => eventually(() => waits(client, observer)));
        await work();
      } finally {
        await set('');
        await eventually(async () => {
          const { rows } = await client.query<{ names: string }>('SHOW synchronous_standby_names');
          return Object.values(rows[0] ?? {})[0] === '' ? true : undefined;
        });
      }
    });
  }

  /** The server takes note of the new setting some time after the reload: true once a commit has waited. */
  async function waits(client: pg.Client, observer: pg.Client): Promise<true | undefined> {
    let committed = false;
    const probe = client.query('DROP TABLE IF EXISTS probe; CREATE TEMPORARY TABLE probe ()').then(() => {
      committed = true;
    });
    let waited: true | undefined;
    while (!committed) {
      const { rows } = await observer.query<{ cancelled: true }>(
        "SELECT pg_cancel_backend(pid) AS cancelled FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query ~ 'probe'",
      );
      waited ??= rows[0]?.cancelled;
    }
    await probe;
    return waited;
  }

  async function endWait(statement: RegExp, end: 'pg_cancel_backend' | 'pg_terminate_backend') {
    await withClient(database.superuserUrl, async (observer) => {
      await observer.query(`SELECT ${end}($1)`, [await waitingBackend(observer, 'SyncRep', statement)]);
    });
  }

  // Seen red without the listener to notices: a cancelled wait looks like any success.
  for (const end of ['pg_cancel_backend', 'pg_terminate_backend'] as const) {
    test(`makes an append unknown whose wait is ended by ${end}, although its rows are visible`, async () => {
      const { storage } = database;
      const optimistic = await buildLog(storage);
      const locked = await buildLog(storage);
      await withoutStandby(async () => {
        const group = groupAfter(optimistic.clusterId, optimistic.head);
        const appending = storage.append(group);
        await endWait(APPEND, end);
        expect(await appending).toMatchObject({ kind: 'unknown' });
        expect(await storage.readLog(optimistic.clusterId)).toMatchObject({ head: group.newHead });

        const committing = storage.appendLocked(locked.clusterId, NOTHING, (log) =>
          groupAfter(locked.clusterId, log.head),
        );
        await endWait(/COMMIT/, end);
        expect(await committing).toMatchObject({ kind: 'unknown' });
        expect(await storage.readLog(locked.clusterId)).toMatchObject({ head: { size: 1 } });
      });
    });

    test(`makes confirmDurable and other writes fail when their wait is ended by ${end}`, async () => {
      const { storage } = database;
      const { clusterId, head } = await buildLog(storage);
      expect(await storage.confirmDurable(clusterId, head)).toBe(true);
      // Seen red when the cluster's row alone was asked for: another root, or a size that is not there, was confirmed.
      expect(await storage.confirmDurable(clusterId, { ...head, size: head.size + 1 })).toBe(false);
      expect(await storage.confirmDurable(clusterId, { ...head, root: new Uint8Array(32) })).toBe(false);
      await withoutStandby(async () => {
        const confirming = storage.confirmDurable(clusterId, head);
        const confirmed = expect(confirming).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        await endWait(/FOR SHARE/, end);
        await confirmed;
        const cluster = newCluster();
        const creating = storage.createCluster(cluster);
        const created = expect(creating).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        await endWait(/COMMIT/, end);
        await created;
        const change = { clusterId, from: ['active'], to: 'frozen', reason: '' } as const;
        const changing = storage.changeState(change);
        const changed = expect(changing).rejects.toMatchObject({ code: 'UNAVAILABLE' });
        await endWait(/update "clusters"/, end);
        await changed;
      });
      expect(await storage.confirmDurable(clusterId, head)).toBe(true);
    });
  }
});
