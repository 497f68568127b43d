import { afterEach, beforeEach, expect, test } from '@jest/globals';
import pg from 'pg';
import type { LineageChange } from '../../src/postgres/lineage.ts';
import { createPostgresStorage, type PostgresStorage } from '../../src/postgres/storage.ts';
import { TamperingOwner } from '../integration/tampering-owner.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';
import { buildLog, groupAfter } from './log-builder.ts';

// Timelines and system identifiers need servers of their own (test/chaos); here is what one server can show.

let database: TestDatabase;
let opened: PostgresStorage[];
beforeEach(async () => {
  database = await openTestDatabase();
  opened = [];
});
afterEach(async () => {
  await Promise.all(opened.map((storage) => storage.close()));
  await database.close();
});

/** One server process, as far as its lineage goes. */
function newProcess() {
  const changes: LineageChange[] = [];
  const storage = createPostgresStorage({
    databaseUrl: database.databaseUrl,
    onLineageChange: (change) => changes.push(change),
  });
  opened.push(storage);
  return { storage, changes };
}

const rows = () =>
  withClient(database.superuserUrl, async (client) => {
    const { rows: lineage } = await client.query(
      'SELECT number::int4, trusted, reason FROM lineage ORDER BY number',
    );
    return lineage;
  });

test('the first row is written once, by whoever comes first, and nobody is told', async () => {
  const processes = Array.from({ length: 4 }, newProcess);
  await Promise.all(processes.map(({ storage }) => storage.checkLineage()));
  await Promise.all(processes.map(({ storage }) => storage.checkLineage()));
  expect(await rows()).toEqual([{ number: 1, trusted: true, reason: '' }]);
  expect(processes.flatMap(({ changes }) => changes)).toEqual([]);
});

// Seen red with the object ids taken out of the comparison, and with appends that did not look first.
test('a copy in the place of the database takes no append, not even the first one', async () => {
  const before = newProcess();
  const { clusterId, head } = await buildLog(before.storage, [1]);
  const restoreCopy = await new TamperingOwner(database).copyDatabase();
  await restoreCopy();

  // Its rows are those that this append extends: only the lineage tells.
  const first = await before.storage.append(groupAfter(clusterId, head));
  expect(first).toEqual({ kind: 'refused', knownRequestIds: [] });
  const reason = expect.stringMatching(/^the tables are other ones/);
  expect(before.changes).toEqual([{ kind: 'doubted', reason, clusters: 1 }]);
  const { cluster } = (await before.storage.readLog(clusterId))!;
  expect(cluster.state).toBe('recovering');
  expect(cluster.stateReason).toMatch(/tables are other ones.*acknowledged anchors may be missing/);
  // It is told once, and not again to those who come later.
  const after = newProcess();
  await after.storage.checkLineage();
  await before.storage.checkLineage();
  expect([before.changes.length, after.changes.length]).toEqual([1, 0]);
  expect(await rows()).toHaveLength(2);
});

test('a server that was elsewhere meanwhile is told what another one noticed', async () => {
  const [one, other] = [newProcess(), newProcess()];
  const { clusterId } = await buildLog(one.storage, [1]);
  await other.storage.checkLineage();
  const restoreCopy = await new TamperingOwner(database).copyDatabase();
  await restoreCopy();
  await one.storage.checkLineage();
  const version = (await one.storage.readCluster(clusterId))!.stateVersion;
  await other.storage.checkLineage();
  expect(other.changes).toEqual([
    { kind: 'noticedElsewhere', reason: expect.stringMatching(/tables are other ones/) },
  ]);
  expect((await one.storage.readCluster(clusterId))!.stateVersion).toBe(version);
});

test('of two servers that notice at once one acts', async () => {
  const processes = Array.from({ length: 4 }, newProcess);
  const { clusterId } = await buildLog(processes[0]!.storage, [1]);
  await Promise.all(processes.map(({ storage }) => storage.checkLineage()));
  const restoreCopy = await new TamperingOwner(database).copyDatabase();
  await restoreCopy();
  await Promise.all(processes.map(({ storage }) => storage.checkLineage()));
  expect(processes.map(({ changes }) => changes.map(({ kind }) => kind).join()).sort()).toEqual([
    'doubted',
    'noticedElsewhere',
    'noticedElsewhere',
    'noticedElsewhere',
  ]);
  expect((await processes[0]!.storage.readCluster(clusterId))!.stateVersion).toBe(2);
  expect(await rows()).toHaveLength(2);
});

test('sealed clusters stay sealed, frozen ones have to be looked at too', async () => {
  const { storage } = newProcess();
  const [sealed, frozen] = [await buildLog(storage, [1]), await buildLog(storage, [1])];
  await storage.changeState({
    clusterId: sealed.clusterId,
    from: ['active'],
    to: 'sealed',
    reason: 'a fork',
  });
  await storage.changeState({
    clusterId: frozen.clusterId,
    from: ['active'],
    to: 'frozen',
    reason: 'a move',
  });
  const restoreCopy = await new TamperingOwner(database).copyDatabase();
  await restoreCopy();
  await storage.checkLineage();
  expect((await storage.readCluster(sealed.clusterId))!.state).toBe('sealed');
  // Seen red when the statement that sends all clusters there forgot why some were frozen.
  expect(await storage.readCluster(frozen.clusterId)).toMatchObject({
    state: 'recovering',
    frozenReason: 'a move',
  });
});

test('a database that does not tell what it is, is served with a word of warning', async () => {
  await withClient(database.superuserUrl, (client) =>
    client.query('REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC'),
  );
  const { storage, changes } = newProcess();
  const { clusterId, head } = await buildLog(storage, [1]);
  expect(await storage.append(groupAfter(clusterId, head))).toEqual({ kind: 'appended' });
  await storage.checkLineage();
  expect(changes).toEqual([{ kind: 'untold', cause: expect.objectContaining({ code: '42501' }) }]);
});

// Seen red with every refusal taken for a database that never tells: it was not looked at again, and appended to.
test('a restore whose grants come last takes no write before they are there, and is noticed then', async () => {
  const { storage, changes } = newProcess();
  const { clusterId, head } = await buildLog(storage, [1]);
  const restoreCopy = await new TamperingOwner(database).copyDatabase();
  await restoreCopy();
  const role = pg.escapeIdentifier(database.applicationRole);
  const asSuperuser = (text: string) =>
    withClient(database.superuserUrl, async (client) => void (await client.query(text)));
  await asSuperuser(`REVOKE SELECT ON lineage FROM ${role}`);
  for (const lookingAt of [storage, newProcess().storage]) {
    await expect(lookingAt.checkLineage()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const outcome = await lookingAt.append(groupAfter(clusterId, head));
    expect(outcome).toMatchObject({ kind: 'unavailable', cause: { code: 'UNAVAILABLE' } });
  }
  await asSuperuser(`GRANT SELECT ON lineage TO ${role}`);
  expect(await storage.append(groupAfter(clusterId, head))).toEqual({ kind: 'refused', knownRequestIds: [] });
  expect(changes.map(({ kind }) => kind)).toEqual(['doubted']);
  expect(await rows()).toMatchObject([{ trusted: true }, { trusted: false }]);
});
