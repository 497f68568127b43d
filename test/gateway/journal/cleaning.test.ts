import { expect, test } from '@jest/globals';
import type { Outbox, SealedBatch } from '../../../src/gateway/outbox.ts';
import { ANCHOR, checkpointOf, leafOf, listed, numbersOf } from '../outbox-contract.ts';
import { MemoryFiles } from './memory-files.ts';
import { openJournal } from './open-journal.ts';

const REFUSAL = { status: 'INVALID_ARGUMENT', reason: 'R', message: 'no' };
const LIMITS = { segmentBytes: 2_000 };

function bytesOf(files: MemoryFiles): number {
  return files.names().reduce((sum, path) => sum + files.get(path).length, 0);
}

async function waiting(outbox: Outbox): Promise<number[]> {
  return (await listed(outbox.unanchored())).map(({ leaf }) => numbersOf(leaf)[0]!);
}

/** Brings so many leaves home, ten at a time, behind a batch that is in hand and never answered. */
async function pass(outbox: Outbox, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 10) {
    await Promise.all(
      Array.from({ length: 10 }, (_, index) => outbox.append(leafOf(n + index), `event ${n}`)),
    );
    await outbox.settle((await outbox.take(10, true))!, ANCHOR);
  }
}

// Red when nothing is carried forward: the files then keep all 5,000 leaves, half a megabyte.
test('a dead letter, a batch without an answer and a checkpoint do not keep the files of all that came after', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files, LIMITS);
  const batches: SealedBatch[] = [];
  for (const n of [0, 1, 2]) {
    await outbox.append(leafOf(n), `event ${n}`);
    batches.push((await outbox.take(1, true))!);
  }
  await outbox.bury(batches[0]!, REFUSAL);
  await outbox.settle(batches[1]!, { ...ANCHOR, checkpoint: checkpointOf(12) });
  await pass(outbox, 10, 5_010);
  await outbox.close();
  expect(bytesOf(files)).toBeLessThan(12 * LIMITS.segmentBytes);
  const again = await openJournal(files, LIMITS);
  expect(again.checkpoints).toEqual([checkpointOf(12)]);
  expect(await waiting(again.outbox)).toEqual([0, 2]);
  expect(await again.outbox.take(1, true)).toEqual(batches[2]);
  const [letter] = await listed(again.outbox.deadLetters());
  expect(letter).toMatchObject({ id: batches[0]!.requestId, refusal: REFUSAL });
  expect(letter?.leaves[0]?.eventId).toBe('event 0');
  expect(await again.outbox.append(leafOf(9), undefined)).toBeGreaterThan(5_000);
  await again.outbox.close();
});

// Red when the last segment goes as well, because nothing in it is needed: it is the one that is written.
test('where nothing waits the last segment stays, is written on, and says where sequences go on', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files, { segmentBytes: 300 });
  await pass(outbox, 0, 100);
  while (files.names().length > 1) await new Promise(setImmediate);
  const sequence = await outbox.append(leafOf(100), undefined);
  expect(sequence).toBe(100);
  const after = files.afterPowerFailure(() => 0);
  await outbox.close();
  const again = await openJournal(after);
  expect(await waiting(again.outbox)).toEqual([100]);
  await again.outbox.settle((await again.outbox.take(1, true))!, ANCHOR);
  await again.outbox.close();
  const third = await openJournal(after);
  expect(await third.outbox.append(leafOf(101), undefined)).toBe(101);
  await third.outbox.close();
});

// Red when a process that is started again and again leaves a file each time.
test('many short lives leave few files', async () => {
  const files = new MemoryFiles();
  for (let life = 0; life < 100; life++) {
    const { outbox } = await openJournal(files, LIMITS);
    await outbox.append(leafOf(life), undefined);
    await outbox.close();
  }
  expect(files.names().length).toBeLessThan(40);
  const { outbox } = await openJournal(files, LIMITS);
  expect(await waiting(outbox)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  await outbox.close();
});

test('nothing is carried forward for ever: a journal in which all is needed is left alone', async () => {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files, LIMITS);
  for (let n = 0; n < 300; n++) {
    await outbox.append(leafOf(n), undefined);
    const batch = (await outbox.take(1, true))!;
    await outbox.bury(batch, { ...REFUSAL, message: 'long '.repeat(n) });
  }
  const changes = files.changes;
  await outbox.append(leafOf(300), undefined);
  expect(files.changes - changes).toBeLessThan(20);
  await outbox.close();
});

// Red when a segment goes before what was carried out of it is on disk; when removing is not made durable before the next.
test('power may fail at any step of that: what was promised is there, what was settled stays settled', async () => {
  for (let failsAt = 0, isOver = false; !isOver; failsAt++) {
    const files = new MemoryFiles();
    files.powerFailsAt = failsAt;
    const { outbox } = await openJournal(files, { segmentBytes: 200 });
    const promised = new Set<number>();
    const settled = new Set<number>();
    try {
      for (let n = 0; n < 10; n++) {
        await outbox.append(leafOf(n), `event ${n}`);
        promised.add(n);
        const batch = (await outbox.take(1, true))!;
        if (n === 0) await outbox.bury(batch, REFUSAL);
        else if (n !== 1) {
          settled.add(n);
          promised.delete(n);
          await outbox.settle(batch, ANCHOR).catch((error: unknown) => {
            settled.delete(n);
            throw error;
          });
        }
      }
      isOver = true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'OUTBOX_FAILED' });
    }
    await outbox.close();
    for (const chosen of [0, 1, 2]) {
      let turn = chosen;
      const after = files.afterPowerFailure((below) => (chosen === 2 ? turn++ : chosen) % below);
      const again = await openJournal(after, { segmentBytes: 200 });
      const found = await waiting(again.outbox);
      expect(found).toEqual(expect.arrayContaining([...promised]));
      expect(found.filter((n) => settled.has(n))).toEqual([]);
      expect(new Set(found).size).toBe(found.length);
      expect(again.log.said.filter(({ level }) => level === 'error')).toEqual([]);
      await again.outbox.close();
    }
  }
});
