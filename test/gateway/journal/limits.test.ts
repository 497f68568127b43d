import { expect, test } from '@jest/globals';
import { journalOutbox } from '../../../src/gateway/journal/journal-outbox.ts';
import { ANCHOR, contextOf, leafOf } from '../outbox-contract.ts';
import { MemoryFiles } from './memory-files.ts';
import { openJournal } from './open-journal.ts';

const LIMITS = { segmentBytes: 1_000, maxBytes: 20_000 };

function bytesOf(files: MemoryFiles): number {
  return files.names().reduce((sum, path) => sum + files.get(path).length, 0);
}

// Red when leaves that wait for the disk are not counted, and when sealing is refused for want of room.
test('files that take all their bytes refuse leaves, but let batches go, which makes room', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files, LIMITS);
  let taken = 0;
  for (let round = 0; round < 5; round++) {
    const appends = Array.from({ length: 500 }, (_, n) => outbox.append(leafOf(n), undefined));
    const results = await Promise.allSettled(appends);
    const fulfilled = results.filter(({ status }) => status === 'fulfilled').length;
    expect(fulfilled).toBeGreaterThan(100);
    expect(fulfilled).toBeLessThan(500);
    // What was settled in the round before may go only now.
    let refusal: unknown;
    while (refusal === undefined) {
      try {
        await outbox.append(leafOf(1), undefined);
      } catch (error) {
        refusal = error;
      }
    }
    expect(refusal).toMatchObject({
      code: 'OUTBOX_FULL',
      message: 'the files of the journal take 20000 bytes, as many as they may',
    });
    expect(bytesOf(files)).toBeLessThan(LIMITS.maxBytes + 1_000);
    for (let batch = await outbox.take(50, true); batch; batch = await outbox.take(50, true)) {
      taken += batch.sequences.length;
      expect(await outbox.settle(batch, ANCHOR)).toBe(true);
    }
  }
  expect(taken).toBeGreaterThan(500);
  await outbox.close();
});

test('dead letters count, and are named when they are what fills the journal', async () => {
  const { outbox } = await openJournal(new MemoryFiles(), { maxLeaves: 2 });
  await outbox.append(leafOf(1), undefined);
  await outbox.bury((await outbox.take(1, true))!, { status: 'X', reason: '', message: '' });
  await outbox.append(leafOf(2), undefined);
  await expect(outbox.append(leafOf(3), undefined)).rejects.toMatchObject({
    code: 'OUTBOX_FULL',
    message: 'the journal holds 2 leaves, 1 of them dead letters, as many as it may',
  });
  await outbox.close();
});

test('what no journal can keep is refused before it is written', async () => {
  const { outbox } = await openJournal(new MemoryFiles());
  await expect(outbox.append(new Uint8Array(31), undefined)).rejects.toMatchObject({ code: 'BAD_EVENT' });
  await expect(outbox.append(leafOf(1), 'é'.repeat(32_768))).rejects.toMatchObject({ code: 'BAD_EVENT' });
  await expect(outbox.append(leafOf(1), '\ud800')).rejects.toMatchObject({ code: 'BAD_EVENT' });
  await outbox.append(leafOf(1), 'é'.repeat(32_767));
  await outbox.append(leafOf(2), '');
  const batch = await outbox.take(10, true);
  expect(batch?.eventIds).toEqual(['é'.repeat(32_767), '']);
  await outbox.close();
  await expect(outbox.append(leafOf(1), undefined)).rejects.toMatchObject({ code: 'CLOSED' });
});

test('a journal that does not wait for the disk says what it does not survive, and never syncs what it writes', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files, { isSynced: false });
  expect(outbox.promise).toBe('the end of this process, but not a crash of the machine');
  files.fault = (operation) => (operation === 'sync' ? new Error('synced') : undefined);
  await outbox.append(leafOf(1), undefined);
  await outbox.take(1, true);
  await outbox.close();
  expect(journalOutbox({ directory: 'x' }).promise).toBe(
    'the end of this process and a crash of the machine',
  );
});

test('all mistakes in the options are said at once', () => {
  const options = { directory: '', maxLeaves: 0, maxBytes: 5, fsync: 'often' as 'group' };
  expect(() => journalOutbox(options)).toThrow(
    expect.objectContaining({
      code: 'BAD_OPTIONS',
      message:
        'journalOutbox: directory must be a path; maxLeaves must be a whole number from 1 to 1000000000, not 0; ' +
        'maxBytes must be a whole number from 1048576, not 5; fsync must be group or never, not often',
    }),
  );
});

test('an outbox that was never opened says so, and may be closed', async () => {
  const outbox = journalOutbox({ directory: 'nowhere' });
  await expect(outbox.append(leafOf(1), undefined)).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
  await outbox.close();
  await expect(outbox.open(contextOf())).rejects.toMatchObject({ code: 'OUTBOX_IN_USE' });
});
