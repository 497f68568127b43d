import { expect, test } from '@jest/globals';
import type { AppendOutcome } from '../../src/notary/storage.ts';
import type { Connection, Statement } from '../../src/postgres/connection-pool.ts';
import { LINEAGE, type LineageChange, LineageWatch } from '../../src/postgres/lineage.ts';

// Standbys and timelines need servers of their own (test/chaos); here their answers are told, to have them in every order.

const SYSTEM = { system_identifier: '1', timeline: 1, storage: '1/2' };
const ENTRY = {
  number: 1,
  entry_system_identifier: '1',
  entry_timeline: 1,
  entry_storage: '1/2',
  entry_synchronous: true,
  entry_lsn: '50',
  entry_trusted: true,
  entry_reason: '',
};
const PRIMARY = { standby: false, ...SYSTEM, lsn: '100', synchronous: true, ...ENTRY };
const PROMOTED = { ...PRIMARY, timeline: 2 };
const STANDBY = { standby: true };

/** One session with a database that says so of itself, and takes what is written to its lineage. */
function sessionWith(...rows: object[]) {
  const session = { rows, givenUp: 0 };
  const connection = {
    session,
    giveUp: () => session.givenUp++,
    takeWarning: () => undefined,
    query: async (statement: Statement) =>
      statement === LINEAGE ? session.rows : [{ noticed: 1, doubted: 3 }],
  } as unknown as Connection;
  return { session, connection };
}

function newWatch() {
  const changes: LineageChange[] = [];
  return { watch: new LineageWatch((change) => changes.push(change)), changes };
}

const appended = async (): Promise<AppendOutcome> => ({ kind: 'appended' });
const refused = async (): Promise<AppendOutcome> => ({ kind: 'refused', knownRequestIds: [] });

// Seen red with the session taken for one that was looked at: it survives the promotion.
test('a session that leads to a standby is given up, and looked at again if it is used nevertheless', async () => {
  const { watch, changes } = newWatch();
  const asynchronous = { ...PRIMARY, synchronous: false, entry_synchronous: false };
  await watch.look(sessionWith(asynchronous).connection);
  const { session, connection } = sessionWith(STANDBY);
  await expect(watch.beforeWriting(connection)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(session.givenUp).toBe(1);
  session.rows = [{ ...asynchronous, timeline: 2 }];
  await watch.beforeWriting(connection);
  expect(changes).toMatchObject([{ kind: 'doubted' }]);
});

test('a failover that lost nothing is no alarm, whoever found it', async () => {
  const { watch, changes } = newWatch();
  await watch.look(sessionWith(PRIMARY).connection);
  const row = { number: 2, entry_timeline: 2, entry_reason: 'found out' };
  await watch.look(sessionWith(PROMOTED, { ...PROMOTED, ...row }).connection);
  const reason = 'the database is on timeline 2, before on 1';
  expect(changes).toEqual([{ kind: 'continued', reason }]);
});

test.each([
  ['what was seen before an acknowledged append is missed', appended, 'doubted'],
  ['what was only seen may never have reached the standby', refused, 'continued'],
])('after a restore to a point in time, %s', async (_, append, kind) => {
  const { watch, changes } = newWatch();
  await watch.look(sessionWith(PRIMARY).connection);
  await watch.appending(append);
  await watch.look(sessionWith({ ...PROMOTED, lsn: '99' }).connection);
  expect(changes.map((change) => change.kind)).toEqual([kind]);
});

test('what was acknowledged is remembered past a failover, and no longer than its history', async () => {
  const { watch, changes } = newWatch();
  await watch.look(sessionWith(PRIMARY).connection);
  await watch.appending(appended);
  await watch.look(sessionWith({ ...PROMOTED, lsn: '100' }).connection);
  const second = { ...PROMOTED, number: 2, entry_timeline: 2 };
  await watch.look(sessionWith({ ...second, timeline: 3, lsn: '99' }).connection);
  const third = { ...second, number: 3, entry_timeline: 3, entry_trusted: false };
  await watch.look(sessionWith({ ...third, timeline: 4, lsn: '98' }).connection);
  expect(changes.map(({ kind }) => kind)).toEqual(['continued', 'doubted', 'continued']);
});
