import { expect, test } from '@jest/globals';
import { leafOf } from '../outbox-contract.ts';
import { MemoryFiles } from './memory-files.ts';
import { openJournal } from './open-journal.ts';
import { contentOf, journalAfter, SEGMENT, STEPS } from './small-journal.ts';

// Red when a frame that is short is taken for damage, when it is taken for sound, and when the file is not cut off.
for (const [index, { kind }] of STEPS.entries()) {
  test(`a journal whose last record (${kind}) was cut off at any byte holds all the others, and goes on`, async () => {
    const { files, before, contents } = await journalAfter(index + 1);
    const whole = files.get(SEGMENT);
    expect(whole.length).toBeGreaterThan(before);
    for (let cut = before; cut <= whole.length; cut++) {
      const torn = new MemoryFiles();
      torn.put(SEGMENT, whole.subarray(0, cut));
      const { outbox, log } = await openJournal(torn);
      const isWhole = cut === whole.length;
      const isEmpty = before === 0 && cut < whole.length;
      if (!isEmpty) expect(await contentOf(outbox)).toEqual(contents[isWhole ? 1 : 0]);
      if (isEmpty) expect((await outbox.backlog()).leaves).toBe(0);
      else expect(torn.get(SEGMENT).length).toBe(isWhole ? whole.length : before);
      const saysSo = log.said.filter(({ level }) => level === 'warn');
      // Cut between two records, or between header and records, nothing shows that there was more.
      const isClean = isWhole || cut === before || (cut >= 60 && cut <= 120);
      if (!isClean) expect(saysSo).toHaveLength(1);
      expect(log.said.filter(({ level }) => level === 'error')).toEqual([]);
      await outbox.append(leafOf(77), 'later');
      const content = await contentOf(outbox);
      await outbox.close();
      const again = await openJournal(torn);
      expect(again.log.said).toEqual([]);
      expect(await contentOf(again.outbox)).toEqual(content);
      await again.outbox.close();
    }
  });
}
