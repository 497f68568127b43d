import { describe, expect, test } from '@jest/globals';
import { GatewayError } from '../../src/gateway/error.ts';
import { Room } from '../../src/gateway/room.ts';
import { leafOf, numbersOf } from './outbox-contract.ts';

/** A store of `capacity` leaves. */
function store(capacity: number) {
  const held: number[] = [];
  return {
    held,
    free: () => held.shift(),
    append: async (leaf: Uint8Array) => {
      if (held.length >= capacity) throw new GatewayError('OUTBOX_FULL', 'full');
      return held.push(numbersOf(leaf)[0]!);
    },
  };
}

/** Nobody looks without being told. */
const never = () => () => {};

describe('a full outbox', () => {
  test('refuses at once by default', async () => {
    const { append } = store(1);
    const room = new Room(append, false, never);
    await room.append(leafOf(1), undefined);
    await expect(room.append(leafOf(2), undefined)).rejects.toMatchObject({ code: 'OUTBOX_FULL' });
  });

  // Red when `append` does not look at who waits already.
  test('holds callers back where asked, and lets them in by their order', async () => {
    const { append, held, free } = store(1);
    const room = new Room(append, true, never);
    await room.append(leafOf(1), undefined);
    const second = room.append(leafOf(2), undefined);
    await new Promise(setImmediate);
    free();
    // There is room now, but somebody waits for it.
    const third = room.append(leafOf(3), undefined);
    expect(room.waiting).toBe(2);
    room.freed();
    await second;
    expect(held).toEqual([2]);
    free();
    room.freed();
    await third;
    expect(held).toEqual([3]);
    expect(room.waiting).toBe(0);
  });

  // Red when the leaf is taken by `slice`, which copies nothing of a Buffer.
  test('holds a copy: the caller may use its bytes again, a Buffer of them too', async () => {
    const { append, held, free } = store(1);
    const room = new Room(append, true, never);
    await room.append(leafOf(1), undefined);
    const bytes = Buffer.from(leafOf(2));
    const waiting = room.append(bytes, undefined);
    await new Promise(setImmediate);
    bytes.fill(0);
    free();
    room.freed();
    await waiting;
    expect(held).toEqual([2]);
  });

  // Red when only `freed` lets anybody in: other gateways empty a shared outbox, and journals shrink after their last leaf.
  test('is looked at while somebody waits, and not after', async () => {
    const { append, held, free } = store(1);
    const looks: (() => void)[] = [];
    const room = new Room(append, true, (run) => {
      looks.push(run);
      return () => {};
    });
    await room.append(leafOf(1), undefined);
    expect(looks.length).toBe(0);
    const waiting = room.append(leafOf(2), undefined);
    await new Promise(setImmediate);
    looks.shift()!();
    await new Promise(setImmediate);
    expect(room.waiting).toBe(1);
    free();
    looks.shift()!();
    await waiting;
    expect(held).toEqual([2]);
    looks.shift()!();
    expect(looks.length).toBe(0);
  });

  test('ends the wait of those who are still there at the close', async () => {
    const { append } = store(0);
    const room = new Room(append, true, never);
    const waiting = room.append(leafOf(1), undefined);
    const outcome = expect(waiting).rejects.toMatchObject({ code: 'CLOSED' });
    await new Promise(setImmediate);
    room.close();
    await outcome;
    await expect(room.append(leafOf(2), undefined)).rejects.toMatchObject({ code: 'CLOSED' });
  });
});
