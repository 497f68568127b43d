import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { leavesNamed } from '../integration/careful-caller.ts';
import type { ServerProcess } from '../integration/server-process.ts';
import { withClient } from '../support/postgres-template.ts';
import { eventually } from '../support/postgres-waits.ts';
import { DebianPostgres } from './debian-postgres.ts';
import { endOf, FailoverStage, type Log } from './failover-stage.ts';

// An old copy of the database is put in the place of the present one, under servers that go on running.

// Nothing here waits long, but for what does not come.
jest.setTimeout(60_000);

const RECOVERING = 'UNAVAILABLE CLUSTER_RECOVERING';

describe.each([
  ['a dump that is restored on another server', dump, /system identifier \d+, before \d+/],
  ['a base backup that is started in the old place', baseBackup, /WAL ends at \w+\/\w+, before at \w+\/\w+/],
] as const)('%s', (_, backUp, reason) => {
  let stage: FailoverStage;
  let one: ServerProcess;
  let other: ServerProcess;
  /** Is whole in the copy. */
  let kept: Log;
  /** Lacks in the copy what `one` acknowledged. */
  let lost: Log;
  /** Was made after it. */
  let missing: Log;

  beforeAll(async () => {
    stage = await FailoverStage.set();
    one = await stage.startServer();
    other = await stage.startServer();
    [kept, lost] = [await stage.newLog(one), await stage.newLog(one)];
    await kept.append(other);
    const restore = await backUp(stage);
    await lost.append(one);
    missing = await stage.newLog(other);
    // More than a server writes to its WAL when it starts.
    await missing.caller.anchor(other, leavesNamed('much', 20_000));
    await everybodyHasLooked(stage, 2);
    await restore();
  });
  afterAll(async () => {
    await stage?.strike();
  });

  test('is noticed by every server, and every cluster is recovering', async () => {
    const notice = new RegExp(`"level":(\\d+),[^\\n]*"reason":"the database[^"]*${reason.source}`);
    const levels = await Promise.all([one.output(notice), other.output(notice)]);
    expect(levels.sort()).toEqual(['50', '60']);
    for (const { clusterId } of [kept, lost])
      expect(await stage.stateOf(other, clusterId)).toBe('RECOVERING');
  });

  test('takes no anchor, and serves what it has', async () => {
    expect(await endOf(lost.append(one))).toBe('DATA_LOSS LOG_ROLLED_BACK');
    await one.output(/("the stored log ends at size 1, but size 2 was acknowledged")/);
    for (const server of [one, other]) {
      for (const log of [kept, lost]) {
        expect(await endOf(log.append(server))).toBe(RECOVERING);
        const named = { clusterId: log.clusterId, packedLeaves: leavesNamed('x') };
        expect(await endOf(server.notary.createAnchor(named))).toBe(RECOVERING);
      }
      await kept.expectServed(server, 2);
      await lost.expectServed(server, 1);
    }
    // A whole cluster that is not in the copy: whoever remembers it says what that means, others never heard of it.
    expect(await endOf(missing.append(other))).toBe('DATA_LOSS LOG_CORRUPT');
    expect(await endOf(missing.append(one))).toBe('NOT_FOUND CLUSTER_NOT_FOUND');
    await stage.expectSound(kept, 2);
    await stage.expectSound(lost, 1);
  });

  test('goes on where nothing is missing, and in a successor where something is', async () => {
    const thaw = ({ clusterId, newest: confirmedCheckpoint }: Log) =>
      endOf(other.registry.thawCluster({ clusterId, reason: 'restored', confirmedCheckpoint }));
    expect([await thaw(kept), await thaw(lost)]).toEqual(['ok', 'FAILED_PRECONDITION THAW_REFUSED']);
    expect((await kept.append(one)).verified.logIndex).toBe(2);
    expect((await kept.append(other)).verified.logIndex).toBe(3);
    await stage.expectSound(kept, 4);

    const { cluster } = await other.registry.createCluster({
      displayName: '',
      predecessorId: lost.clusterId,
    });
    for (const server of [one, other]) {
      const packedLeaves = leavesNamed('of a gateway that names the old log');
      const { record } = await server.notary.createAnchor({ clusterId: lost.clusterId, packedLeaves });
      expect(JSON.parse(Buffer.from(record).toString())).toMatchObject({ cluster_id: cluster!.clusterId });
    }
    await lost.expectServed(one, 1);
  });
});

// Nothing in the database tells, and no server remembers: only whoever kept a checkpoint.
test('a base backup that is put in place while no server runs is noticed by the first client that kept a newer checkpoint', async () => {
  const stage = await FailoverStage.set();
  try {
    const before = await stage.startServer();
    const log = await stage.newLog(before);
    const restore = await baseBackup(stage);
    await log.append(before);
    await before.kill('SIGKILL');
    await restore();
    const after = await stage.startServer();
    expect(await stage.stateOf(after, log.clusterId)).toBe('ACTIVE');
    expect(await endOf(log.append(after))).toBe('DATA_LOSS LOG_ROLLED_BACK');
    await after.output(
      /"level":50,[^\n]*("a caller holds a signed checkpoint of size 2, but the stored log ends at size 1")/,
    );
    expect(await endOf(log.append(after))).toBe(RECOVERING);
    const unawares = { clusterId: log.clusterId, packedLeaves: leavesNamed('x') };
    expect(await endOf(after.notary.createAnchor(unawares))).toBe(RECOVERING);
    await log.expectServed(after, 1);
    await stage.expectSound(log, 1);
  } finally {
    await stage.strike();
  }
});

// Seen red with the promotion of a synchronous standby trusted by everybody: "nothing was lost".
test('a restore to a point in time looks like the promotion of a synchronous standby, and does not deceive a server that ran', async () => {
  const stage = await FailoverStage.set();
  try {
    await stage.postgres.addStandby();
    await stage.postgres.waitForStandby();
    const one = await stage.startServer();
    await stage.untilSynchronous();
    const [kept, other] = [await stage.newLog(one), await stage.newLog(one)];
    const { host, primary } = stage.postgres;
    const restored = await DebianPostgres.copyOf(host, 'restored', primary.port, ['-R']);
    // More than a server writes to its WAL when it starts.
    await other.caller.anchor(one, leavesNamed('much', 20_000));
    await everybodyHasLooked(stage, 1);
    await other.append(one);
    await primary.crash();
    await restored.start();
    await restored.query('ALTER SYSTEM RESET synchronous_standby_names');
    await restored.query('SELECT pg_reload_conf()');
    await restored.promote();
    await stage.postgres.replaceWith(restored);

    await one.output(/"level":60,[^\n]*"reason":"the database is on timeline 2, before on 1 (since [^"]*)"/);
    expect(await stage.stateOf(one, kept.clusterId)).toBe('RECOVERING');
  } finally {
    await stage.strike();
  }
});

/** pg_dump, and a server that never knew the first one: roles, an empty database, pg_restore. */
async function dump({ postgres }: FailoverStage): Promise<() => Promise<void>> {
  const { host, database, primary } = postgres;
  const file = join(await host.mkdir('dump'), 'log.dump');
  const from = ['-h', '127.0.0.1', '-U', 'postgres'];
  await host.run('pg_dump', [...from, '-p', `${primary.port}`, '-Fc', '-f', file, database.name]);
  const roles = await host.run('pg_dumpall', [...from, '-p', `${primary.port}`, '--roles-only']);
  return async () => {
    const second = await DebianPostgres.initialize(host, 'second');
    await second.start();
    // The one superuser is there already, and what psql obeys is not SQL.
    await second.query(roles.replaceAll(/^(\\.*|.*ROLE postgres\b.*)$/gm, ''));
    await second.query(`CREATE DATABASE ${database.name}`);
    await host.run('pg_restore', [
      ...from,
      '-p',
      `${second.port}`,
      '-d',
      database.name,
      '--exit-on-error',
      file,
    ]);
    await postgres.replaceWith(second);
  };
}

/** Started as it is, without archived WAL: the system identifier and the timeline stay. */
async function baseBackup({ postgres }: FailoverStage): Promise<() => Promise<void>> {
  const copy = await DebianPostgres.copyOf(postgres.host, 'copy', postgres.primary.port);
  return async () => {
    await copy.start();
    await postgres.replaceWith(copy);
  };
}

/** Resolves when this many servers have looked at the database after all that was written until now. */
async function everybodyHasLooked({ postgres }: FailoverStage, servers: number): Promise<void> {
  await withClient(postgres.database.superuserUrl, async (client) => {
    const [now] = (await client.query<{ now: Date }>('SELECT clock_timestamp() AS now')).rows;
    await eventually(async () => {
      // What a connection did last is shown while it is idle.
      const { rows } = await client.query<{ looked: number }>(
        `SELECT count(DISTINCT application_name)::int4 AS looked FROM pg_stat_activity
         WHERE application_name ~ '^server' AND query ~ 'pg_control_system' AND query_start > $1`,
        [now?.now],
      );
      return rows[0]?.looked === servers ? true : undefined;
    });
  });
}
