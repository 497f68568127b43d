import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { StorageError } from '../../src/notary/storage.ts';
import { GatheredReads } from '../../src/postgres/gathered-reads.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { buildLog } from './log-builder.ts';

describe('reads of one turn of the event loop', () => {
  // Seen red (it never ended) when keys that had been asked stayed for the next statement.
  test('go together, those of the next turn by themselves, each answered with its own', async () => {
    const statements: (readonly number[])[] = [];
    const reads = new GatheredReads(async (keys: readonly number[]) => {
      statements.push(keys);
      return keys.map((key) => key * 10);
    });
    const first = [reads.get(1), reads.get(2)];
    await new Promise(setImmediate);
    const second = reads.get(3);
    expect(await Promise.all([...first, second])).toEqual([10, 20, 30]);
    expect(statements).toEqual([[1, 2], [3]]);
  });

  /** Which of 100 fail where a statement with number 70 in it fails like this. */
  async function failuresOf(code: 'UNAVAILABLE' | 'CORRUPT'): Promise<number[]> {
    const reads = new GatheredReads(async (keys: readonly number[]) => {
      if (keys.includes(70)) throw new StorageError(code, 'for a test');
      return keys;
    });
    const results = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => reads.get(i)));
    return results.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []));
  }

  test('are split where they are many, and fail together only with their own statement', async () => {
    expect(await failuresOf('UNAVAILABLE')).toEqual(Array.from({ length: 36 }, (_, i) => 64 + i));
  });

  // Seen red when one error was everybody's: a damaged row of one cluster failed the reads of another.
  test('are read alone where one of them cannot be read', async () => {
    expect(await failuresOf('CORRUPT')).toEqual([70]);
  });
});

describe('anchors and leaves that are read together', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await openTestDatabase();
  });
  afterAll(async () => {
    await database.close();
  });

  // Seen red with each of the three statements blind to the cluster, and with leaves answered in another order.
  test('are each their own, whatever cluster they are in and whoever asks beside', async () => {
    const { storage } = database;
    const [one, two] = [await buildLog(storage, [3]), await buildLog(storage, [2])];
    const [first, second] = one.entries;
    const [other] = two.entries;
    const found = await Promise.all([
      storage.findEntry(second!.anchorId!, undefined),
      storage.findEntry(randomUUID(), undefined),
      storage.findEntry(other!.anchorId!, one.clusterId),
      storage.findEntry(other!.anchorId!, two.clusterId),
      storage.findEntry(first!.anchorId!, one.clusterId),
      storage.findEntry(first!.anchorId!, one.clusterId),
    ]);
    expect(found.map((entry) => entry && [entry.clusterId, entry.logIndex])).toEqual([
      [one.clusterId, 1],
      undefined,
      undefined,
      [two.clusterId, 0],
      [one.clusterId, 0],
      [one.clusterId, 0],
    ]);

    const leavesOf = (clusterId: string, anchorId: string, count = 1) =>
      storage.readBatchRanges(clusterId, [{ anchorId, column: 'leaves', first: 0, count }]);
    const read = await Promise.allSettled([
      leavesOf(one.clusterId, second!.anchorId!),
      leavesOf(two.clusterId, second!.anchorId!),
      leavesOf(two.clusterId, other!.anchorId!),
      leavesOf(one.clusterId, first!.anchorId!, 2),
    ]);
    expect(read.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'rejected']);
    const stored = [...one.groups, ...two.groups].flatMap(({ batches }) => batches);
    const bytesOf = (anchorId: string) => stored.find((batch) => batch.anchorId === anchorId)!.leaves;
    expect(read[0]).toMatchObject({ value: [bytesOf(second!.anchorId!)] });
    expect(read[2]).toMatchObject({ value: [bytesOf(other!.anchorId!)] });
    expect(read[1]).toMatchObject({ reason: { code: 'CORRUPT' } });

    const tileOf = (clusterId: string, first: number, count: number) =>
      storage.readLogTiles(clusterId, [{ level: 0, first, count }]);
    const tiles = await Promise.allSettled([
      tileOf(two.clusterId, 1, 1),
      tileOf(one.clusterId, 1, 2),
      tileOf(two.clusterId, 1, 2),
    ]);
    const hashesOf = ({ entries }: typeof one, first: number) =>
      new Uint8Array(Buffer.concat(entries.slice(first).map(({ recordHash }) => recordHash)));
    expect(tiles[0]).toMatchObject({ value: [hashesOf(two, 1)] });
    expect(tiles[1]).toMatchObject({ value: [hashesOf(one, 1)] });
    expect(tiles[2]).toMatchObject({ reason: { code: 'CORRUPT' } });
  });
});
