import { describe, expect, test } from '@jest/globals';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import { contextOf, describeOutbox, leafOf } from './outbox-contract.ts';

describeOutbox('memory', {
  isDurable: false,
  isBounded: true,
  async create({ maxLeaves }) {
    return { outbox: () => memoryOutbox(maxLeaves === undefined ? {} : { maxLeaves }), async destroy() {} };
  },
});

describe('the memory outbox', () => {
  test('counts dead letters, too: what is kept is bounded', async () => {
    const outbox = memoryOutbox({ maxLeaves: 2 });
    await outbox.open(contextOf());
    await outbox.append(leafOf(1), undefined);
    const batch = (await outbox.take(10, true))!;
    await outbox.bury(batch, { status: 'INVALID_ARGUMENT', reason: '', message: 'no' });
    await outbox.append(leafOf(2), undefined);
    await expect(outbox.append(leafOf(3), undefined)).rejects.toMatchObject({ code: 'OUTBOX_FULL' });
  });

  test('belongs to one gateway', async () => {
    const outbox = memoryOutbox();
    await outbox.open(contextOf());
    await expect(outbox.open(contextOf())).rejects.toMatchObject({ code: 'OUTBOX_IN_USE' });
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses room for %p leaves', (maxLeaves) => {
    expect(() => memoryOutbox({ maxLeaves })).toThrow(/maxLeaves/);
  });
});
