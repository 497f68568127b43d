import type { Outbox } from '../../../src/gateway/outbox.ts';
import { ANCHOR, checkpointOf, leafOf, listed, numbersOf, partsOf } from '../outbox-contract.ts';
import { MemoryFiles } from './memory-files.ts';
import { DIRECTORY, openJournal } from './open-journal.ts';

export const SEGMENT = `${DIRECTORY}/000000000001.journal`;
const REFUSAL = { status: 'INVALID_ARGUMENT', reason: 'R', message: 'no' };

/** What an outbox holds, to compare two of them. */
export async function contentOf(outbox: Outbox): Promise<unknown> {
  const unanchored = await listed(outbox.unanchored());
  return {
    leaves: unanchored.map(({ leaf, eventId, state }) => [numbersOf(leaf)[0], eventId, state]),
    dead: (await listed(outbox.deadLetters())).map(({ id, refusal, leaves }) => [id, refusal, leaves.length]),
    backlog: await outbox.backlog(),
  };
}

/** Each kind of record, written last by one step. */
export const STEPS: readonly { readonly kind: string; run(outbox: Outbox): Promise<unknown> }[] = [
  { kind: 'leaf', run: async (outbox) => outbox.append(leafOf(0), undefined) },
  { kind: 'leaf with an event id', run: async (outbox) => outbox.append(leafOf(1), 'event 1') },
  { kind: 'leaf before a batch', run: async (outbox) => outbox.append(leafOf(2), 'event 2') },
  { kind: 'sealed', run: (outbox) => outbox.take(1, true) },
  {
    kind: 'settled',
    run: async (outbox) => {
      const batch = await inHand(outbox);
      return outbox.settle(batch, { ...ANCHOR, checkpoint: checkpointOf(4) });
    },
  },
  { kind: 'sealed, of two', run: (outbox) => outbox.take(2, true) },
  {
    kind: 'split',
    run: async (outbox) => {
      const batch = await inHand(outbox);
      return outbox.split(batch, partsOf(batch, [1], 0x500));
    },
  },
  { kind: 'buried', run: async (outbox) => outbox.bury(await inHand(outbox), REFUSAL) },
  {
    kind: 'revived',
    run: async (outbox) => {
      const [letter] = await listed(outbox.deadLetters());
      return outbox.revive(letter!.id);
    },
  },
];

/** The batch that the step before took. */
async function inHand(outbox: Outbox) {
  const batches = inHands.get(outbox) ?? [];
  const batch = batches.at(-1);
  if (batch !== undefined) return batch;
  const taken = await outbox.take(10, true);
  if (taken === undefined) throw new Error('there is no batch');
  return taken;
}

const inHands = new WeakMap<Outbox, Awaited<ReturnType<Outbox['take']>>[]>();

/** A journal in one segment on which so many steps were run, closed. */
export async function journalAfter(steps: number): Promise<{
  readonly files: MemoryFiles;
  /** how long the segment was before the last step */
  readonly before: number;
  /** what the outbox held before and after the last step */
  readonly contents: readonly [unknown, unknown];
}> {
  const files = new MemoryFiles();
  const { outbox } = await openJournal(files);
  let [before, contentBefore]: [number, unknown] = [0, undefined];
  for (const [index, step] of STEPS.slice(0, steps).entries()) {
    if (index === steps - 1) {
      before = index === 0 ? 0 : files.get(SEGMENT).length;
      contentBefore = await contentOf(outbox);
    }
    const result = await step.run(outbox);
    if (step.kind.startsWith('sealed')) inHands.set(outbox, [result as Awaited<ReturnType<Outbox['take']>>]);
    else inHands.delete(outbox);
  }
  const contents = [contentBefore, await contentOf(outbox)] as const;
  await outbox.close();
  return { files, before, contents };
}
