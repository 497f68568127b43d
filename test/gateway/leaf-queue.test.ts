import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { LeafQueue } from '../../src/gateway/leaf-queue.ts';
import { leafOf, numbersOf } from './outbox-contract.ts';

test('gives out what was put in, in order, however it is cut; slabs are taken up again', () => {
  const steps = fc.array(fc.record({ push: fc.nat(3_000), shift: fc.nat(3_000) }), { maxLength: 8 });
  fc.assert(
    fc.property(steps, (cuts) => {
      const queue = new LeafQueue();
      const model: number[] = [];
      let next = 1;
      for (const { push, shift } of cuts) {
        for (let i = 0; i < push; i++, next++) {
          expect(queue.push(leafOf(next), next % 3 === 0 ? `event ${next}` : undefined, next * 10)).toBe(
            next,
          );
          model.push(next);
        }
        expect(queue.length).toBe(model.length);
        expect(queue.oldestAtMs).toBe(model.length === 0 ? undefined : model[0]! * 10);
        expect(queue.snapshot().map(({ enqueuedAtMs }) => enqueuedAtMs / 10)).toEqual(model);
        const count = Math.min(shift, model.length);
        if (count === 0) continue;
        const taken = model.splice(0, count);
        const run = queue.shift(count);
        expect(numbersOf(run.packedLeaves)).toEqual(taken);
        expect(run.sequences).toEqual(taken);
        expect(run.eventIds).toEqual(taken.map((n) => (n % 3 === 0 ? `event ${n}` : undefined)));
        expect(run.enqueuedAtMs).toBe(taken[0]! * 10);
      }
    }),
    { numRuns: 30 },
  );
});
