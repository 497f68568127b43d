import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { EMPTY_ROOT } from '../../src/merkle/index.ts';
import { parseCheckpointText } from '../../src/note/index.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { arbitraryLoad, runLoad } from './concurrent-load.ts';
import { auditLog } from './log-audit.ts';
import { type NotaryUnderTest, startNotary } from './notary-under-test.ts';
import { type ServerProcess, startServerProcess } from './server-process.ts';

/** A race does not happen again for the asking: no shrinking. fast-check prints the seed and the load of a failure. */
const ONCE = { endOnFailure: true } as const;

let database: TestDatabase;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

describe('two server processes on one database', () => {
  let replicas: readonly ServerProcess[];
  beforeAll(async () => {
    const { databaseUrl } = database;
    const first = await startServerProcess({ databaseUrl });
    replicas = [first, await startServerProcess({ databaseUrl, seed: first.seed })];
  });
  afterAll(() => Promise.all(replicas.map((replica) => replica.kill('SIGTERM'))));

  // Seen red with answers before the commit, replays that claim to be new, equal request ids not merged in one process, and
  // known ones not answered from their rows.
  test('whatever callers do at once, each log is one history that everybody was told alike', async () => {
    const { seed } = replicas[0]!;
    let handovers = 0;
    await fc.assert(
      fc.asyncProperty(arbitraryLoad(replicas.length), async (load) => {
        for (const cluster of await runLoad(replicas, seed, load)) {
          const writers = await auditLog(replicas, cluster);
          handovers += writers.filter((writer, i) => i > 0 && writer !== writers[i - 1]).length;
          const { finding, entries } = await cluster.caller.fsck(database.storage, seed);
          expect({ finding, entries }).toEqual({ finding: undefined, entries: writers.length });
        }
      }),
      { ...ONCE, numRuns: 20 },
    );
    // Both really wrote, in turns.
    expect(handovers).toBeGreaterThan(20);
  });
});

describe('two servers whose clocks are an hour apart', () => {
  let replicas: readonly NotaryUnderTest[];
  let observer: pg.Pool;
  const signedTooEarly: string[] = [];

  /** Sees only what is committed, as another session. */
  const expectCommitted = async (noteText: string): Promise<void> => {
    const { origin, size, root } = parseCheckpointText(noteText);
    const clusterId = origin.slice(origin.lastIndexOf('/') + 1);
    const { rows } = await observer.query<{ root: Buffer }>(
      'SELECT root FROM heads WHERE cluster_id = $1 AND size = $2',
      [clusterId, size],
    );
    if (rows[0]?.root.equals(root) !== true) signedTooEarly.push(noteText);
  };

  beforeAll(async () => {
    const { databaseUrl, superuserUrl } = database;
    observer = new pg.Pool({ connectionString: superuserUrl });
    const first = await startNotary({ databaseUrl, beforeSigning: expectCommitted });
    const { seed } = first;
    const now = () => Date.now() - 3_600_000;
    replicas = [first, await startNotary({ databaseUrl, seed, now, beforeSigning: expectCommitted })];
  });
  afterAll(async () => {
    await Promise.all(replicas.map((replica) => replica.stop()));
    await observer.end();
  });

  // Seen red with answers before the commit (signed too early), and with created_at taken from the clock alone.
  test('sign only what is committed at that moment, one root for one size, and let no time go back', async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryLoad(replicas.length), async (load) => {
        for (const cluster of await runLoad(replicas, replicas[0]!.seed, load))
          await auditLog(replicas, cluster);
      }),
      { ...ONCE, numRuns: 8 },
    );
    expect(signedTooEarly).toEqual([]);
    const signed = replicas.flatMap((replica) => replica.signed).map((text) => parseCheckpointText(text));
    expect(signed.length).toBeGreaterThan(8);
    const roots = new Map<string, Uint8Array>();
    for (const { origin, size, root } of signed) {
      const place = `${origin} ${size}`;
      expect(roots.get(place) ?? root).toEqual(root);
      roots.set(place, root);
      if (size === 0) expect(root).toEqual(EMPTY_ROOT);
    }
  });
});
