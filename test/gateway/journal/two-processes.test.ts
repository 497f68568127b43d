import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from '@jest/globals';
import { journalOutbox } from '../../../src/gateway/journal/journal-outbox.ts';
import { contextOf, listed } from '../outbox-contract.ts';
import { journalDirectories } from './journal-directory.ts';

const newDirectory = journalDirectories();

// Red without the lock; red when a lock is taken for held whose process is dead; red when an append resolves before the write.
test('a second process is refused and told who the first is; killed, that leaves all that it promised', async () => {
  const directory = newDirectory();
  const holder = spawn(process.execPath, [join(import.meta.dirname, 'hold-journal.ts'), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines: { requestId?: string; promised?: number }[] = [];
  const reader = createInterface({ input: holder.stdout });
  try {
    const enough = new Promise<void>((resolve) => {
      reader.on('line', (line) => {
        lines.push(JSON.parse(line));
        if (lines.length === 30) resolve();
      });
    });
    await enough;
    const refused = journalOutbox({ directory });
    await expect(refused.open(contextOf())).rejects.toMatchObject({
      code: 'OUTBOX_IN_USE',
      message: expect.stringContaining(`the journal ${directory} is in use by process ${holder.pid}`),
    });
    await refused.close();
  } finally {
    const ended = [once(holder, 'close'), once(reader, 'close')];
    holder.kill('SIGKILL');
    await Promise.all(ended);
  }
  const promised = lines.findLast((line) => line.promised !== undefined)?.promised ?? 0;
  const outbox = journalOutbox({ directory });
  await outbox.open(contextOf());
  const batch = await outbox.take(100, true);
  expect(batch?.requestId).toBe(lines[0]?.requestId);
  expect(batch?.eventIds).toEqual(['event 0', 'event 1']);
  expect(batch?.etcdRevision).toBe(7n);
  const found = (await listed(outbox.unanchored())).map(({ eventId }) => eventId);
  expect(found.length).toBeGreaterThan(promised);
  expect(found).toEqual(found.map((_, n) => `event ${n}`));
  await outbox.close();
});

test('two outboxes of one process are refused like two processes', async () => {
  const directory = newDirectory();
  const first = journalOutbox({ directory });
  await first.open(contextOf());
  const second = journalOutbox({ directory });
  await expect(second.open(contextOf())).rejects.toMatchObject({ code: 'OUTBOX_IN_USE' });
  await expect(first.open(contextOf())).rejects.toMatchObject({ code: 'OUTBOX_IN_USE' });
  await first.close();
  await second.open(contextOf());
  await second.close();
});
