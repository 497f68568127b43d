import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AnchoredBatch } from '../../src/gateway/anchored.ts';
import { GatewayError } from '../../src/gateway/error.ts';
import { LeafHandles } from '../../src/gateway/leaf-handle.ts';
import type { SealedBatch } from '../../src/gateway/outbox.ts';

function batchOf(sequences: readonly number[]): SealedBatch {
  return {
    requestId: '',
    etcdRevision: 0n,
    packedLeaves: new Uint8Array(sequences.length * 32),
    sequences,
    eventIds: sequences.map(() => undefined),
    enqueuedAtMs: 0,
  };
}

/** Leaves that tell which they are. */
const anchoredBatch = (sequences: readonly number[]) =>
  ({ leaf: (leafIndex: number) => ({ leafIndex, eventId: String(sequences[leafIndex]) }) }) as AnchoredBatch;

describe('the handles of leaves', () => {
  test('get the outcome of their own leaf, asked before or after, however sequences are spread over batches', async () => {
    const sequences = fc.uniqueArray(fc.nat(5_000), { minLength: 1, maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(sequences, fc.nat(200), async (all, cut) => {
        const handles = new LeafHandles();
        const ascending = all.toSorted((a, b) => a - b);
        const made = ascending.map((sequence) => handles.add(sequence, undefined));
        const early = made.filter((_, i) => i % 2 === 0).map(({ anchored }) => anchored);
        expect(handles.oldest(1_000)).toEqual(ascending);
        const [first, second] = [all.slice(0, cut), all.slice(cut)];
        handles.anchored(batchOf(first), anchoredBatch(first));
        expect(handles.oldest(1_000)).toEqual(second.toSorted((a, b) => a - b));
        handles.anchored(batchOf(second), anchoredBatch(second));
        await Promise.all(early);
        for (const handle of made) {
          const { eventId, leafIndex } = await handle.anchored;
          expect(eventId).toBe(String(handle.sequence));
          expect((all.indexOf(handle.sequence) < cut ? first : second)[leafIndex]).toBe(handle.sequence);
        }
        expect(handles.oldest(1)).toEqual([]);
      }),
      { numRuns: 50 },
    );
  });

  test('of refused leaves reject, and raise no unhandled rejection where nobody looks', async () => {
    const handles = new LeafHandles();
    const [asked, unasked] = [handles.add(1, undefined), handles.add(2, undefined)];
    const outcome = expect(asked.anchored).rejects.toMatchObject({ code: 'DEAD_LETTER' });
    handles.refused(batchOf([1, 2]), { status: 'INVALID_ARGUMENT', reason: '', message: 'no' });
    await outcome;
    void unasked.anchored;
    await new Promise(setImmediate);
  });

  test('keep their first outcome', async () => {
    const handles = new LeafHandles();
    const handle = handles.add(7, 'e');
    handles.anchored(batchOf([7]), anchoredBatch([7]));
    handles.end(new GatewayError('CLOSED', 'closed'));
    expect(await handle.anchored).toMatchObject({ eventId: '7' });
  });
});
