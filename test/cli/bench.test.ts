// The load generator as an operator runs it, on a real server: what it counts is what the log holds.

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { parseCheckpoint } from '../../src/note/index.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { quartermaster } from './run-quartermaster.ts';

const UNKNOWN = '0198c7a0-5f6e-4d2c-9b1a-3e4f5a6b7c8d';

let database: TestDatabase;
let server: ServerProcess;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startServerProcess({ databaseUrl: database.databaseUrl });
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
});

const bench = (...argv: string[]) =>
  quartermaster(['bench', '--endpoint', server.address, '--in-flight', '4', ...argv]);
const briefly = (...argv: string[]) => bench('--warm-up', '0', '--seconds', '1', '--json', ...argv);

async function newCluster(): Promise<string> {
  const { cluster } = await server.registry.createCluster({ displayName: 'to be measured' });
  return cluster!.clusterId;
}

async function sizeOf(clusterId: string): Promise<number> {
  const { checkpoint } = await server.notary.getCheckpoint({ clusterId });
  return parseCheckpoint(checkpoint).checkpoint.size;
}

interface Figures {
  readonly clusters: readonly string[];
  readonly calls: number;
  readonly calls_with_warm_up: number;
  readonly calls_per_second: number;
  readonly leaves_per_second: number;
  readonly p50_ms: number;
  readonly p999_ms: number;
  readonly failures: object;
}

// Seen red when calls of the warm-up were measured, when they were not counted in all, and when all callers used one cluster.
test('anchors into clusters made for it, and counts what is in their logs', async () => {
  const argv = ['--new-clusters', '2', '--warm-up', '1', '--seconds', '1', '--leaves', '3', '--json'];
  const { code, out, err } = await bench(...argv);
  expect(code).toBe(0);
  expect(err).toMatch(/^warning: random anchors go into the log of cluster \S+ and 1 others, for ever\n/);
  const figures = JSON.parse(out) as Figures;
  expect(figures.clusters).toHaveLength(2);
  const sizes = await Promise.all(figures.clusters.map(sizeOf));
  expect(sizes[0]! + sizes[1]!).toBe(figures.calls_with_warm_up);
  expect(Math.min(...sizes)).toBeGreaterThan(0);
  expect(figures.calls).toBeGreaterThan(0);
  // More than those that were in flight at the end: the calls of the warm-up.
  expect(figures.calls_with_warm_up - figures.calls).toBeGreaterThan(4);
  expect(figures.leaves_per_second).toBe(3 * figures.calls_per_second);
  expect(figures.p50_ms).toBeGreaterThan(0);
  expect(figures.p999_ms).toBeGreaterThanOrEqual(figures.p50_ms);
  expect(figures.failures).toEqual({});
});

test('prints a table for people', async () => {
  const { code, out } = await bench('--new-clusters', '1', '--seconds', '1', '--warm-up', '0', '--packed');
  expect(code).toBe(0);
  expect(out).toMatch(
    /: 1 leaves a call, packed, 4 in flight, 1 cluster, 1 s\n\n\| calls\/s \| leaves\/s \|/,
  );
});

// Seen red without the question: the log grew.
test('does not write into a log that it was only told of', async () => {
  const clusterId = await newCluster();
  const { code, err } = await briefly('--cluster', clusterId);
  expect(code).toBe(2);
  expect(err).toMatch(/for ever; say --write-forever/);
  expect(await sizeOf(clusterId)).toBe(0);
  expect((await briefly('--cluster', clusterId, '--write-forever')).code).toBe(0);
  expect(await sizeOf(clusterId)).toBeGreaterThan(0);
});

test('asks for proofs, one by one and many a call, and writes nothing', async () => {
  const clusterId = await newCluster();
  const empty = await briefly('--cluster', clusterId, '--proofs', '1');
  expect(empty).toMatchObject({ code: 1, err: expect.stringContaining('no anchors to prove') });
  await server.notary.createAnchor({ clusterId, packedLeaves: new Uint8Array(300 * 32).fill(7) });
  for (const proofs of ['1', '10']) {
    const { code, out, err } = await briefly('--cluster', clusterId, '--proofs', proofs);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(JSON.parse(out)).toMatchObject({ proofs_per_call: Number(proofs), failures: {} });
  }
  expect(await sizeOf(clusterId)).toBe(1);
});

test.each([
  [[]],
  [['--cluster', UNKNOWN, '--new-clusters', '1', '--write-forever']],
  [['--new-clusters', '1', '--proofs', '1']],
  [['--cluster', UNKNOWN, '--proofs', '1', '--packed']],
  [['--new-clusters', '1', '--leaves', '0']],
  [['--new-clusters', '1', '--leaves', '1048577']],
])('makes no sense of %j, exit code 2', async (argv) => {
  expect(await briefly(...argv)).toMatchObject({ code: 2, out: '' });
});

test('a refusal ends it with exit code 1 and says which', async () => {
  const unknown = await briefly('--cluster', UNKNOWN, '--write-forever');
  expect(unknown).toMatchObject({ code: 1, out: '', err: expect.stringContaining('NOT_FOUND') });
  const frozen = await newCluster();
  await server.registry.freezeCluster({ clusterId: frozen, reason: 'a test' });
  const refused = await briefly('--cluster', frozen, '--write-forever');
  expect(refused).toMatchObject({ code: 1, out: '', err: expect.stringContaining('FAILED_PRECONDITION') });
});
