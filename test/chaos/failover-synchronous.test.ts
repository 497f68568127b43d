import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { leavesNamed } from '../integration/careful-caller.ts';
import type { ServerProcess } from '../integration/server-process.ts';
import { waitingBackend } from '../support/postgres-waits.ts';
import { FailoverLoad } from './failover-load.ts';
import { endOf, FailoverStage, type Log, patiently } from './failover-stage.ts';
import { HandedOut } from './handed-out.ts';

// Every commit waits for the standby, which then takes over: nobody has to do anything, and nothing that was answered or
// signed is missing. What a commit that waits has written can be seen before the standby has it, though, and a failover takes
// it back.

// Nothing here waits long, but for what does not come.
jest.setTimeout(60_000);

const APPEND = /INSERT INTO heads/;
const CONFIRM = /FOR SHARE/;

let stage: FailoverStage;
let one: ServerProcess;
let other: ServerProcess;
let log: Log;
let handedOut: HandedOut;

beforeAll(async () => {
  stage = await FailoverStage.set();
  await stage.postgres.addStandby();
  await stage.postgres.waitForStandby();
  [one, other] = [await stage.startRecordingServer(), await stage.startRecordingServer()];
});
afterAll(async () => {
  await stage?.strike();
});

beforeEach(async () => {
  await stage.untilSynchronous();
  log = await stage.newLog(one);
  await log.append(other);
  handedOut = new HandedOut(log.caller);
  handedOut.ask(one);
  handedOut.ask(other);
  await handedOut.reached(2);
});
/** Of what was signed nothing is missing; then everything is made ready for the next time. */
afterEach(async () => {
  await handedOut.stop();
  await stage.expectSignedIsStored(log);
  await stage.postgres.addStandby();
  await stage.postgres.waitForStandby();
});

test('under load: nothing acknowledged is lost, and service resumes by itself', async () => {
  const load = new FailoverLoad([one, other], log.caller, 4);
  await load.whenAnswered(100);
  await stage.postgres.failOver();
  const before = load.answered.length;
  await load.whenAnswered(before + 100);
  await load.stop();
  expect(load.resent).toBeGreaterThan(0);
  await load.expectKept(other);
  await stage.expectSound(log, load.answered.length + 2);
  expect(await stage.stateOf(one, log.clusterId)).toBe('ACTIVE');
  const [, failedOver] = (await stage.lineage()).toReversed();
  expect(failedOver).toMatchObject({ timeline: 2, reason: 'the database is on timeline 2, before on 1' });
});

// Seen red with `#confirm` of ClusterLog taking what was read for durable: size 3 was handed out.
test('a row that the standby lacks is neither answered nor signed, whatever becomes of who wrote it', async () => {
  const requestId = crypto.randomUUID();
  const { appending, observer } = await appendWithoutStandby(requestId);
  // The wait ends, the row is there for everybody to see: "committed locally", says Postgres.
  await observer.query('SELECT pg_cancel_backend($1)', [await waitingBackend(observer, 'SyncRep', APPEND)]);
  // Both have seen it and ask whether it is safe, the one that wrote it and the one that reads.
  await waitingBackend(observer, 'SyncRep', CONFIRM);
  const replay = endOf(other.notary.createAnchor(requestOf(requestId)));
  await observer.query('SELECT pg_cancel_backend($1)', [await waitingBackend(observer, 'SyncRep', CONFIRM)]);
  await waitingBackend(observer, 'SyncRep', CONFIRM);
  expect((await seen()).size).toBe(3);
  await observer.end();

  await stage.postgres.failOver();
  expect((await seen()).size).toBe(2);
  await expectAnsweredOnce(requestId, appending, replay);
});

test('a row that the standby lacks is neither answered nor signed after a restart of the primary', async () => {
  const requestId = crypto.randomUUID();
  const { appending, observer } = await appendWithoutStandby(requestId);
  await observer.end();
  // Recovery knows of no standby: what was written is there, and nobody waits for it any more.
  await stage.postgres.restartPrimary();
  expect((await seen()).size).toBe(3);
  const again = await connectObserver();
  await waitingBackend(again, 'SyncRep', CONFIRM);
  await again.end();

  await stage.postgres.failOver();
  expect((await seen()).size).toBe(2);
  await expectAnsweredOnce(requestId, appending);
});

const requestOf = (requestId: string) => ({
  clusterId: log.clusterId,
  packedLeaves: leavesNamed(requestId, 2),
  requestId,
});

/** An append that is in the primary and not in the standby, and waits. */
async function appendWithoutStandby(requestId: string) {
  await stage.postgres.cutReplication();
  const appending = endOf(one.notary.createAnchor(requestOf(requestId)));
  const observer = await connectObserver();
  await waitingBackend(observer, 'SyncRep', APPEND);
  return { appending, observer };
}

/** The newest head that anybody can see in the database. */
async function seen() {
  const snapshot = await patiently(() => stage.postgres.database.storage.readLog(log.clusterId));
  return snapshot!.head;
}

/** Straight to the primary, and past its wait for the standby. */
async function connectObserver(): Promise<pg.Client> {
  const url = new URL(stage.postgres.primary.superuserUrl);
  url.pathname = new URL(stage.postgres.database.superuserUrl).pathname;
  const observer = new pg.Client({ connectionString: url.href });
  observer.on('error', () => {});
  await observer.connect();
  return observer;
}

/** Whatever its first callers were told, the request is anchored once, after the failover, by whoever sends it again. */
async function expectAnsweredOnce(requestId: string, ...calls: readonly Promise<string>[]): Promise<void> {
  for (const end of await Promise.all(calls)) {
    expect(['ok', 'UNAVAILABLE OUTCOME_UNKNOWN', 'UNAVAILABLE STORAGE_UNAVAILABLE']).toContain(end);
  }
  const anchored = await patiently(() => log.append(other, requestId));
  expect(anchored.verified.logIndex).toBe(2);
  await log.append(one);
  await handedOut.reached(4);
  await stage.expectSound(log, 4);
  expect(await stage.stateOf(one, log.clusterId)).toBe('ACTIVE');
}
