import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { journalOutbox } from '../../../src/gateway/journal/journal-outbox.ts';
import type { Outbox } from '../../../src/gateway/outbox.ts';
import { ownerOf, SmallDisk } from '../../chaos/small-disk.ts';
import { contextOf, leafOf, listed, numbersOf } from '../outbox-contract.ts';
import { journalDirectories } from './journal-directory.ts';

const newDirectory = journalDirectories();

async function numbersIn(outbox: Outbox): Promise<number[]> {
  return (await listed(outbox.unanchored())).map(({ leaf }) => numbersOf(leaf)[0]!);
}

// Only where this process may mount; failing-disk.test.ts shows the same on a disk of its own making.
test('on a file system that is full, leaves are refused until there is room, and none that was taken is lost', async () => {
  const path = newDirectory();
  const disk = await SmallDisk.mount(path, await ownerOf('.'));
  if (disk === undefined) return;
  const promised: number[] = [];
  const outbox = journalOutbox({ directory: join(path, 'outbox') });
  try {
    await outbox.open(contextOf());
    const append = async (n: number) => {
      await outbox.append(leafOf(n), undefined);
      promised.push(n);
    };
    await append(0);
    await disk.fill();
    // The page that is begun has room left.
    let refusal: unknown;
    for (let n = 1; refusal === undefined && n < 1_000; n++) {
      await append(n).catch((error: unknown) => {
        refusal = error;
      });
    }
    expect(refusal).toMatchObject({
      code: 'OUTBOX_FAILED',
      message: expect.stringContaining('the disk is full: make room, and it goes on by itself (ENOSPC)'),
    });
    await expect(append(2_000)).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
    await disk.makeRoom();
    await append(3_000);
    await outbox.close();
    const again = journalOutbox({ directory: join(path, 'outbox') });
    await again.open(contextOf());
    expect(await numbersIn(again)).toEqual(promised);
    await again.close();
  } finally {
    await outbox.close();
    await disk.unmount();
  }
});

test('on a file system that is read-only, opening fails and says so', async () => {
  const path = newDirectory();
  const disk = await SmallDisk.mount(path, await ownerOf('.'));
  if (disk === undefined) return;
  try {
    execFileSync('mount', ['-o', 'remount,ro', path]);
    const outbox = journalOutbox({ directory: path });
    await expect(outbox.open(contextOf())).rejects.toMatchObject({
      code: 'OUTBOX_FAILED',
      message: expect.stringContaining('the file system is read-only: mount it so that it can be written'),
    });
  } finally {
    await disk.unmount();
  }
});

test('a directory whose parent is missing, or is a file, is said to be that', async () => {
  const file = newDirectory();
  writeFileSync(file, '');
  await expect(journalOutbox({ directory: join(file, 'outbox') }).open(contextOf())).rejects.toMatchObject({
    code: 'OUTBOX_FAILED',
    message: expect.stringContaining('a file stands where the directory should be'),
    cause: { code: 'ENOTDIR' },
  });
  await expect(
    journalOutbox({ directory: join(newDirectory(), 'nowhere') }).open(contextOf()),
  ).rejects.toMatchObject({
    code: 'OUTBOX_FAILED',
    message: expect.stringContaining('the one above it is missing: make it'),
    cause: { code: 'ENOENT' },
  });
});

// Red when only the writes are looked at: a file that was removed takes them as ever.
test('a directory that is removed meanwhile takes no more leaves, and is said to be gone', async () => {
  const directory = newDirectory();
  const outbox = journalOutbox({ directory });
  await outbox.open(contextOf());
  await outbox.append(leafOf(1), undefined);
  rmSync(directory, { recursive: true });
  await expect(outbox.append(leafOf(2), undefined)).rejects.toMatchObject({
    code: 'OUTBOX_FAILED',
    message: expect.stringContaining('the directory is gone'),
  });
  mkdirSync(directory);
  await outbox.append(leafOf(3), undefined);
  expect(await numbersIn(outbox)).toEqual([1, 3]);
  await outbox.close();
});

// Root may write everywhere, so this one needs an ordinary user.
test('a directory that this process may not write is said to be that', async () => {
  if (process.getuid?.() === 0) return;
  const directory = newDirectory();
  mkdirSync(directory);
  chmodSync(directory, 0o500);
  await expect(journalOutbox({ directory }).open(contextOf())).rejects.toMatchObject({
    code: 'OUTBOX_FAILED',
    message: expect.stringContaining('this process may not write there'),
  });
});

// Red when modes are left to the umask.
test('what the journal writes is for its owner only', async () => {
  const directory = newDirectory();
  const outbox = journalOutbox({ directory });
  await outbox.open(contextOf());
  await outbox.append(leafOf(1), 'event 1');
  const evidence = await outbox.keepEvidence('{"a":1}');
  const other = await outbox.keepEvidence('{"a":2}');
  expect(readFileSync(evidence, 'utf8')).toBe('{"a":1}');
  expect(readFileSync(other, 'utf8')).toBe('{"a":2}');
  expect(evidence.startsWith(`${directory}/evidence-2023-11-14T22-13-20.000Z`)).toBe(true);
  const modeOf = (path: string) => statSync(path).mode & 0o777;
  expect(modeOf(directory)).toBe(0o700);
  expect([evidence, other, join(directory, '000000000001.journal')].map(modeOf)).toEqual([
    0o600, 0o600, 0o600,
  ]);
  await outbox.close();
});

test('a journal of another cluster is left alone', async () => {
  const directory = newDirectory();
  const outbox = journalOutbox({ directory });
  await outbox.open(contextOf());
  await outbox.append(leafOf(1), undefined);
  await outbox.close();
  const clusterId = '0190a1b2-0000-7000-8000-00000000000f';
  const other = journalOutbox({ directory });
  await expect(other.open(contextOf({ clusterId }))).rejects.toMatchObject({
    code: 'OUTBOX_FAILED',
    message: `the journal ${directory} holds leaves of cluster ${contextOf().clusterId}, not of ${clusterId}: give each cluster a directory of its own`,
  });
  // The lock is let go again.
  await outbox.close();
  const again = journalOutbox({ directory });
  await again.open(contextOf());
  expect(await numbersIn(again)).toEqual([1]);
  await again.close();
});
