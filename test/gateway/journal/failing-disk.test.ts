import { expect, test } from '@jest/globals';
import { ANCHOR, leafOf, listed, numbersOf } from '../outbox-contract.ts';
import { MemoryFiles, type Operation, systemError } from './memory-files.ts';
import { openJournal } from './open-journal.ts';

function failing(files: MemoryFiles, operations: readonly Operation[], code: string): void {
  files.fault = (operation) => (operations.includes(operation) ? systemError(code) : undefined);
}

async function numbersIn(files: MemoryFiles): Promise<number[]> {
  const { outbox, log } = await openJournal(files);
  const all = await listed(outbox.unanchored());
  await outbox.close();
  expect(log.said.filter(({ level }) => level === 'error')).toEqual([]);
  return all.map(({ leaf }) => numbersOf(leaf)[0]!);
}

const LEAF_2 = Buffer.from(leafOf(2));

const FULL = { code: 'OUTBOX_FAILED', message: expect.stringContaining('the disk is full: make room') };

// Red when the outbox stays with the file whose write failed, and when rejected bytes are left in it.
test('a full disk refuses leaves with what to do, said once; with room again it goes on, without what it refused', async () => {
  const files = new MemoryFiles();
  const { outbox, log } = await openJournal(files);
  await outbox.append(leafOf(1), undefined);
  failing(files, ['write', 'create'], 'ENOSPC');
  for (const n of [2, 3, 4]) {
    await expect(outbox.append(leafOf(n), undefined)).rejects.toMatchObject({
      ...FULL,
      cause: expect.objectContaining({ code: 'ENOSPC' }),
    });
  }
  expect(log.said.map(({ level }) => level)).toEqual(['error']);
  files.fault = undefined;
  await outbox.append(leafOf(5), undefined);
  expect(log.said.map(({ level }) => level)).toEqual(['error', 'info']);
  expect(numbersOf((await outbox.take(10, true))!.packedLeaves)).toEqual([1, 5]);
  expect(await numbersIn(files.afterPowerFailure(() => 0))).toEqual([1, 5]);
});

// A sync that fails may have lost any of the pages, and marks them clean: the next one succeeds and says nothing (fsyncgate).
// Red when the same file is synced again and believed: the power failure then takes the leaf.
test('after a failed sync the group is written again, elsewhere', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files);
  await outbox.append(leafOf(1), undefined);
  let failures = 1;
  files.fault = (operation) => (operation === 'sync' && failures-- > 0 ? systemError('EIO') : undefined);
  await outbox.append(leafOf(2), undefined);
  expect(files.names()).toHaveLength(2);
  const [first = '', second = ''] = files.names();
  expect(files.get(first).includes(LEAF_2)).toBe(false);
  expect(files.get(second).includes(LEAF_2)).toBe(true);
  expect(await numbersIn(files.afterPowerFailure(() => 0))).toEqual([1, 2]);
});

// Red when an error while the file is left is what the append fails with.
test('a file that fails for good is left for another, and none is left open', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files);
  await outbox.append(leafOf(1), undefined);
  files.fault = (operation, path) =>
    operation === 'sync' && path.endsWith('1.journal') ? systemError('EIO') : undefined;
  await outbox.append(leafOf(2), undefined);
  await outbox.close();
  expect(files.openFiles).toBe(0);
  expect(await numbersIn(files.afterPowerFailure(() => 0))).toEqual([1, 2]);
});

// Red when a new segment does not say how much of the one before counts.
test('what was refused does not come back where it could not even be cut off', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files);
  await outbox.append(leafOf(1), undefined);
  failing(files, ['sync', 'truncate', 'remove'], 'EIO');
  await expect(outbox.append(leafOf(2), undefined)).rejects.toMatchObject({
    code: 'OUTBOX_FAILED',
    message: expect.stringContaining('the disk fails'),
  });
  files.fault = undefined;
  await outbox.append(leafOf(3), undefined);
  await outbox.close();
  expect(files.names().filter((path) => files.get(path).includes(LEAF_2))).not.toEqual([]);
  expect(await numbersIn(files)).toEqual([1, 3]);
});

// Red when leaves count as sealed, or batches as settled, before that is on disk.
test('what could not be sealed, settled, split or buried is as it was', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files);
  await outbox.append(leafOf(1), undefined);
  const before = await outbox.backlog();
  failing(files, ['write', 'create'], 'ENOSPC');
  await expect(outbox.take(10, true)).rejects.toMatchObject(FULL);
  expect(await outbox.backlog()).toEqual(before);
  files.fault = undefined;
  const batch = (await outbox.take(10, true))!;
  const sealed = await outbox.backlog();
  failing(files, ['write', 'create'], 'ENOSPC');
  await expect(outbox.settle(batch, ANCHOR)).rejects.toMatchObject(FULL);
  await expect(outbox.split(batch, [])).rejects.toMatchObject(FULL);
  await expect(outbox.bury(batch, { status: 'X', reason: '', message: '' })).rejects.toMatchObject(FULL);
  expect(await outbox.backlog()).toEqual(sealed);
  files.fault = undefined;
  expect(await outbox.settle(batch, ANCHOR)).toBe(true);
  await outbox.close();
});

test('of changes of one batch that run together, the first is made and the others find it done', async () => {
  const { outbox } = await openJournal(new MemoryFiles());
  await outbox.append(leafOf(1), undefined);
  const batch = (await outbox.take(10, true))!;
  const refusal = { status: 'X', reason: '', message: '' };
  const changes = [outbox.settle(batch, ANCHOR), outbox.bury(batch, refusal), outbox.settle(batch, ANCHOR)];
  expect(await Promise.all(changes)).toEqual([true, false, false]);
  expect(await listed(outbox.deadLetters())).toEqual([]);
  await outbox.close();
});

// Red when an error while tidying up reaches whoever appends, or is the end of tidying up.
test('a segment that cannot be removed stops nobody, and goes later', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files, { segmentBytes: 200 });
  const settleOne = async (n: number) => {
    await outbox.append(leafOf(n), undefined);
    await outbox.settle((await outbox.take(10, true))!, ANCHOR);
  };
  failing(files, ['remove'], 'EIO');
  for (let n = 0; n < 20; n++) await settleOne(n);
  expect(files.names().length).toBeGreaterThan(5);
  files.fault = undefined;
  await settleOne(20);
  while (files.names().length >= 4) await new Promise(setImmediate);
  await outbox.close();
});

test.each([
  ['EROFS', 'mount it so that it can be written'],
  ['EACCES', 'give it the directory'],
  ['EIO', 'look at the system log'],
])(
  'a disk that says %s as the journal is read fails the opening, and says what to do',
  async (code, advice) => {
    const files = new MemoryFiles();
    failing(files, ['list'], code);
    await expect(openJournal(files)).rejects.toMatchObject({
      code: 'OUTBOX_FAILED',
      message: expect.stringContaining(advice),
      cause: { code },
    });
    files.fault = undefined;
    const { outbox } = await openJournal(files);
    await outbox.close();
  },
);
