import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { HISTORY_TABLES } from '../../src/postgres/application-role.ts';
import { migrate } from '../../src/postgres/migrate.ts';
import { createPostgresStorage } from '../../src/postgres/storage.ts';
import { openTestDatabase, sharedTemplate, type TestDatabase } from '../support/database.ts';
import { roleUrl, withClient } from '../support/postgres-template.ts';
import { buildLog } from './log-builder.ts';

const run = promisify(execFile);
const { superuserUrl, ownerRole, applicationRole, password } = sharedTemplate();

/** An empty database, owned by the migration role, and a role name that nobody has. */
async function withEmptyDatabase(work: (ownerUrl: string, role: string) => Promise<void>): Promise<void> {
  const suffix = randomBytes(4).toString('hex');
  const name = `qm_migrate_${suffix}`;
  const role = `qm_role_${suffix}`;
  await withClient(superuserUrl, (client) => client.query(`CREATE DATABASE ${name} OWNER ${ownerRole}`));
  try {
    await work(roleUrl(superuserUrl, ownerRole, password, name), role);
  } finally {
    await withClient(superuserUrl, async (client) => {
      await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await client.query(`DROP ROLE IF EXISTS ${role}`);
    });
  }
}

describe('migrate', () => {
  test('works from several processes at once: one applies, the others find nothing to do', async () => {
    await withEmptyDatabase(async (ownerUrl, role) => {
      const script = fileURLToPath(new URL('migrate-once.ts', import.meta.url));
      const results = await Promise.all(
        Array.from({ length: 4 }, () => run(process.execPath, [script, ownerUrl, role])),
      );
      const applied = results.map(({ stdout }) => (JSON.parse(stdout) as { applied: string[] }).applied);
      expect(applied.filter((names) => names.length > 0)).toEqual([
        ['001-log', '002-lineage', '003-lineage-trusted', '004-frozen-reason'],
      ]);
      expect(await migrate({ databaseUrl: ownerUrl, applicationRole: role })).toEqual({
        applied: [],
        newer: [],
      });
    });
  });

  test('steps back from a table that somebody holds, and gets through when it is free', async () => {
    await withEmptyDatabase(async (ownerUrl, role) => {
      await migrate({ databaseUrl: ownerUrl, applicationRole: role });
      await withClient(ownerUrl, async (blocker) => {
        await blocker.query('BEGIN');
        await blocker.query('LOCK TABLE schema_migrations IN ACCESS EXCLUSIVE MODE');
        const messages: string[] = [];
        const migrating = migrate({
          databaseUrl: ownerUrl,
          applicationRole: role,
          lockTimeoutMs: 100,
          log: (message) => {
            messages.push(message);
            if (messages.length === 1) void blocker.query('ROLLBACK');
          },
        });
        expect(await migrating).toEqual({ applied: [], newer: [] });
        expect(messages[0]).toContain('lock timeout');
      });
    });
  });

  test('waits no longer than its deadline', async () => {
    await withEmptyDatabase(async (ownerUrl, role) => {
      await withClient(ownerUrl, async (blocker) => {
        await blocker.query('SELECT pg_advisory_lock(7165117469)');
        const options = { databaseUrl: ownerUrl, applicationRole: role, lockTimeoutMs: 50, deadlineMs: 100 };
        await expect(migrate(options)).rejects.toMatchObject({ code: '55P03' });
      });
    });
  });

  test('leaves a database alone that a newer version has migrated', async () => {
    await withEmptyDatabase(async (ownerUrl, role) => {
      await migrate({ databaseUrl: ownerUrl, applicationRole: role });
      await withClient(ownerUrl, (client) =>
        client.query(`INSERT INTO schema_migrations VALUES ('999-later', '2099-01-01T00:00:00.000Z')`),
      );
      expect(await migrate({ databaseUrl: ownerUrl, applicationRole: role })).toEqual({
        applied: [],
        newer: ['999-later'],
      });
    });
  });

  test('makes an application role that cannot log in by password until one is given', async () => {
    await withEmptyDatabase(async (ownerUrl, role) => {
      await migrate({ databaseUrl: ownerUrl, applicationRole: role });
      const database = new URL(ownerUrl).pathname.slice(1);
      const storage = createPostgresStorage({ databaseUrl: roleUrl(ownerUrl, role, 'a secret', database) });
      await expect(storage.ping()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      await migrate({ databaseUrl: ownerUrl, applicationRole: role, applicationPassword: 'a secret' });
      await storage.ping();
      expect(await storage.check()).toEqual({ refusals: [], warnings: [] });
      await storage.close();
    });
  });

  test('refuses to run as the application role', async () => {
    const own = { databaseUrl: roleUrl(superuserUrl, ownerRole, password, 'postgres') };
    await expect(migrate({ ...own, applicationRole: ownerRole })).rejects.toThrow('migrate as another role');
  });
});

describe('a migrated database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase();
    await buildLog(database.storage, [2]);
  });
  afterAll(async () => {
    await database.close();
  });

  const rewrites = [
    ...HISTORY_TABLES.flatMap((table) => [
      `UPDATE ${table} SET cluster_id = cluster_id`,
      `DELETE FROM ${table}`,
      `TRUNCATE ${table}`,
    ]),
    'UPDATE lineage SET timeline = timeline',
    'DELETE FROM lineage',
    'TRUNCATE lineage',
    'UPDATE anchor_leaves_default SET leaves = leaves',
    'DELETE FROM anchor_leaves_default',
    'TRUNCATE anchor_leaves_default',
    'UPDATE clusters SET origin = origin',
    'UPDATE clusters SET created_at = created_at',
    'DELETE FROM clusters',
    'TRUNCATE clusters',
  ];

  test('lets the application role rewrite nothing', async () => {
    await withClient(database.databaseUrl, async (client) => {
      for (const statement of [...rewrites, 'DROP TABLE heads', 'ALTER TABLE heads DISABLE TRIGGER ALL']) {
        await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' });
      }
      await client.query(`UPDATE clusters SET state_reason = 'allowed'`);
    });
  });

  test('stops the owner by its triggers', async () => {
    await withClient(database.ownerUrl, async (client) => {
      for (const statement of rewrites) {
        await expect(client.query(statement)).rejects.toMatchObject({ code: '55000' });
      }
      await client.query(`UPDATE clusters SET state_reason = 'allowed'`);
    });
  });

  test('vacuums what is only inserted into', async () => {
    await withClient(database.ownerUrl, async (client) => {
      const { rows } = await client.query<{ name: string }>(
        `SELECT relname AS name FROM pg_class WHERE 'autovacuum_vacuum_insert_scale_factor=0' = ANY (reloptions) AND relkind = 'r' ORDER BY 1`,
      );
      expect(rows.map((row) => row.name)).toEqual(['anchor_leaves_default', 'anchors', 'heads', 'log_nodes']);
    });
  });
});

describe('the check of a database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase();
  });
  afterAll(async () => {
    await database.close();
  });

  async function checkAs(databaseUrl: string, allowUnsafeDurability = false) {
    const storage = createPostgresStorage({ databaseUrl });
    try {
      return await storage.check({ allowUnsafeDurability });
    } finally {
      await storage.close();
    }
  }

  test('finds nothing wrong with what migrate made', async () => {
    expect(await checkAs(database.databaseUrl)).toEqual({ refusals: [], warnings: [] });
  });

  test('warns of a role that may rewrite history, and of one without the planner settings', async () => {
    const { refusals, warnings } = await checkAs(database.ownerUrl);
    expect(refusals).toEqual([]);
    expect(warnings).toHaveLength(2);
    expect(warnings[0]).toContain(
      'may rewrite heads, anchors, anchor_leaves, log_nodes, log_keys, lineage, clusters',
    );
    expect(warnings[1]).toContain('plan_cache_mode');
  });

  test('refuses a database without the schema, or without a migration of this version', async () => {
    const empty = roleUrl(superuserUrl, applicationRole, password, 'postgres');
    expect((await checkAs(empty)).refusals).toEqual([expect.stringContaining('no schema yet')]);
    await withClient(database.ownerUrl, async (client) => {
      await client.query(`UPDATE schema_migrations SET name = '000-other' WHERE name = '001-log'`);
      expect((await checkAs(database.databaseUrl)).refusals).toEqual([
        expect.stringContaining('lacks 001-log'),
      ]);
      await client.query(`UPDATE schema_migrations SET name = '001-log' WHERE name = '000-other'`);
      await client.query(`INSERT INTO schema_migrations VALUES ('999-later', '')`);
      expect((await checkAs(database.databaseUrl)).warnings).toEqual([expect.stringContaining('999-later')]);
      await client.query(`DELETE FROM schema_migrations WHERE name = '999-later'`);
    });
  });

  test('refuses synchronous_commit off, unless it is allowed', async () => {
    await withClient(superuserUrl, (client) =>
      client.query(`ALTER DATABASE ${database.name} SET synchronous_commit = off`),
    );
    expect((await checkAs(database.databaseUrl)).refusals).toEqual([
      expect.stringContaining('synchronous_commit is off'),
    ]);
    const allowed = await checkAs(database.databaseUrl, true);
    expect(allowed.refusals).toEqual([]);
    expect(allowed.warnings).toEqual([expect.stringContaining('synchronous_commit is off')]);
    await withClient(superuserUrl, (client) =>
      client.query(`ALTER DATABASE ${database.name} RESET synchronous_commit`),
    );
  });
});
