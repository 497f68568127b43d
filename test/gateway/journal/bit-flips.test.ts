import { expect, test } from '@jest/globals';
import type { Outbox } from '../../../src/gateway/outbox.ts';
import { ANCHOR, leafOf, listed, numbersOf } from '../outbox-contract.ts';
import { MemoryFiles } from './memory-files.ts';
import { DIRECTORY, openJournal, type Said } from './open-journal.ts';
import { contentOf, journalAfter } from './small-journal.ts';

/** Two segments: a settled leaf (0), a dead one (1), a sealed one (2), two queued ones (3, 4). */
async function journal(): Promise<{ files: MemoryFiles; content: unknown; paths: string[] }> {
  const { files } = await journalAfter(8);
  const { outbox } = await openJournal(files);
  await outbox.append(leafOf(3), undefined);
  await outbox.append(leafOf(4), 'event 4');
  const content = await contentOf(outbox);
  await outbox.close();
  return { files, content, paths: files.names() };
}

const EVENT_IDS = new Map([
  [0, undefined],
  ...[1, 2, 4].map((n) => [n, `event ${n}`] as const),
  [3, undefined],
]);

function copyOf(files: MemoryFiles): MemoryFiles {
  const copy = new MemoryFiles();
  for (const path of files.names()) copy.put(path, files.get(path));
  return copy;
}

/** What waits, once each leaf is seen to be one that was appended, with its own event id. */
async function waiting(outbox: Outbox): Promise<number[]> {
  const all = await listed(outbox.unanchored());
  for (const { leaf, eventId } of all) {
    const [n = -1] = numbersOf(leaf);
    expect(leaf).toEqual(leafOf(n));
    expect(EVENT_IDS.has(n)).toBe(true);
    expect(eventId).toBe(EVENT_IDS.get(n));
  }
  return all.map(({ leaf }) => numbersOf(leaf)[0]!);
}

/** The damage is told with the place of the flip, and its bytes are kept. */
function checkTold(files: MemoryFiles, told: readonly Said[], path: string, at: number): void {
  const region = told.find(({ fields }) => {
    const { file, offset, bytes } = fields as { file: string; offset: number; bytes: number };
    return file === path && offset <= at && at < offset + bytes;
  });
  expect(region).toBeDefined();
  const { offset, bytes, kept } = region!.fields as { offset: number; bytes: number; kept: string };
  expect(files.get(kept).equals(files.get(path).subarray(offset, offset + bytes))).toBe(true);
}

// Red when the checksum of bodies, or the one of headers, is not looked at; when reading ends at the first damage; when a
// header has one copy; when a batch that lost a member is sent as it is; when damage is not told.
test('no flipped bit makes a wrong leaf, hides a loss, or costs more than the record that it is in', async () => {
  const { files, content, paths } = await journal();
  expect(paths).toHaveLength(2);
  let told = 0;
  for (const path of paths) {
    for (let at = 0; at < files.get(path).length; at++) {
      const mask = at % 2 === 0 ? 1 << ((at % 16) >> 1) : 0xff;
      const damaged = copyOf(files);
      const bytes = damaged.get(path);
      bytes[at]! ^= mask;
      damaged.put(path, bytes);
      const { outbox, log } = await openJournal(damaged);
      const complaints = log.said.filter(({ level }) => level !== 'info');
      const found = await waiting(outbox);
      if (complaints.length === 0) {
        // Only the second copy of a header's bytes: nothing is lost.
        expect(await contentOf(outbox)).toEqual(content);
      } else {
        told++;
        checkTold(damaged, complaints, path, at);
      }
      expect(found.length).toBeGreaterThanOrEqual(3);
      expect([1, 2, 3, 4].filter((n) => !found.includes(n)).length).toBeLessThanOrEqual(1);
      await drained(outbox, found);
      await outbox.close();
    }
  }
  expect(told).toBeGreaterThan(500);
});

/** Everything that is not dead can still be brought home, each leaf once. */
async function drained(outbox: Outbox, waiting: readonly number[]): Promise<void> {
  const dead = (await listed(outbox.deadLetters())).flatMap(({ leaves }) => leaves);
  const sent: number[] = [];
  for (let batch = await outbox.take(2, true); batch !== undefined; batch = await outbox.take(2, true)) {
    sent.push(...numbersOf(batch.packedLeaves));
    expect(await outbox.settle(batch, ANCHOR)).toBe(true);
  }
  const all = [...sent, ...dead.map(({ leaf }) => numbersOf(leaf)[0]!)].sort((a, b) => a - b);
  expect(all).toEqual([...waiting].sort((a, b) => a - b));
}

test('a segment without a readable header is put aside whole, and the others are read', async () => {
  const { files } = await journal();
  const [first = ''] = files.names();
  const bytes = files.get(first);
  bytes[20]! ^= 1;
  bytes[80]! ^= 1;
  files.put(first, bytes);
  const { outbox, log } = await openJournal(files);
  expect(await waiting(outbox)).toEqual([3, 4]);
  expect(files.get(`${first}.corrupt`).equals(bytes)).toBe(true);
  const errors = log.said.filter(({ level }) => level === 'error').map(({ message }) => message);
  expect(errors).toEqual([expect.stringContaining('both copies of its header are damaged')]);
  await outbox.close();
});

// Red when the length that counts is not written into the next header.
test('a segment that is gone, or has lost its end, is missed', async () => {
  const { files } = await journal();
  const [first = '', second = ''] = files.names();
  const { outbox } = await openJournal(files);
  await outbox.append(leafOf(4), 'event 4');
  await outbox.close();
  const short = copyOf(files);
  short.put(first, files.get(first).subarray(0, -30));
  const shortened = await openJournal(short);
  expect(shortened.log.said).toContainEqual(
    expect.objectContaining({
      level: 'error',
      message: expect.stringContaining('has lost its end'),
      fields: { file: first, offset: files.get(first).length - 30, bytes: 30 },
    }),
  );
  const gap = new MemoryFiles();
  for (const path of files.names()) if (path !== second) gap.put(path, files.get(path));
  const gapped = await openJournal(gap);
  expect(gapped.log.said).toContainEqual(
    expect.objectContaining({
      level: 'error',
      fields: expect.objectContaining({ missing: second.slice(DIRECTORY.length + 1) }),
    }),
  );
});
