import { describe, expect, test } from '@jest/globals';
import { ReadGate } from '../../src/server/read-gate.ts';
import { FakeSender } from './fake-sender.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const CHECK_MS = 250;

/** The gate with its defaults, a clock that stands still, and what others have in memory. */
function defaultGate() {
  const clock = { ms: 1_000_000 };
  const memory = { usedBytes: 0 };
  const gate = new ReadGate({
    concurrentReads: 16,
    readsPerConnection: 4,
    readTimeoutMs: 10_000,
    now: () => clock.ms,
    memory: {
      capacityBytes: 256 * MIB,
      freeBytes: () => 240 * MIB - memory.usedBytes,
      evictOverdue: () => false,
    },
  });
  const enter = (connection: string, bytes: number) => {
    const sender = new FakeSender(connection, bytes);
    gate.enter(sender);
    return sender;
  };
  /** What comes of the sender's message until the next check, where it is let in; gone once all of it has come. */
  const send = (sender: FakeSender, bytesPerSecond: number) => {
    if (sender.state !== 'inside') return;
    sender.outstandingBytes = Math.max(0, sender.outstandingBytes - (bytesPerSecond * CHECK_MS) / 1_000);
    if (sender.outstandingBytes === 0) gate.leave(sender);
  };
  const check = () => {
    clock.ms += CHECK_MS;
    gate.checkTimes();
  };
  return { gate, clock, memory, enter, send, check };
}

describe('senders that announce and do not send', () => {
  // Seen red when the first come was the first served: the honest one was refused every ten seconds, for ever.
  test('on two connections, hundreds of messages, keep nobody else waiting', () => {
    const { enter } = defaultGate();
    for (let i = 0; i < 500; i++) enter(`hostile ${i % 2}`, 40 * MIB);
    expect(enter('honest', MIB).state).toBe('inside');
  });

  // Seen red when only those past ten seconds could be ended.
  test('on many connections, again and again, let somebody else in within seconds', () => {
    const { clock, enter, check } = defaultGate();
    const hostile = Array.from({ length: 24 }, (_, i) => enter(`hostile ${i}`, 40 * MIB));
    const honest = enter('honest', 40 * MIB);
    const startedAtMs = clock.ms;
    while (honest.state === 'new') {
      check();
      for (const [i, sender] of hostile.entries()) {
        if (sender.state !== 'new' && sender.state !== 'inside') hostile[i] = enter(`hostile ${i}`, 40 * MIB);
      }
    }
    expect(honest.state).toBe('inside');
    expect(clock.ms - startedAtMs).toBeLessThan(6_000);
  });

  // Seen red with the connections' turns not changing in `take`.
  test('on a connection of their own come by turns with those of others', () => {
    const { gate, memory, enter } = defaultGate();
    memory.usedBytes = 200 * MIB;
    const first = enter('x', 40 * MIB);
    const [a1, a2, b1] = [enter('a', 40 * MIB), enter('a', 40 * MIB), enter('b', 40 * MIB)];
    gate.leave(first);
    expect([a1.state, a2.state, b1.state]).toEqual(['inside', 'new', 'new']);
    gate.leave(a1);
    expect([a2.state, b1.state]).toEqual(['new', 'inside']);
  });

  // Seen red with pauses counted by the clock.
  test('cannot be told from those whose bytes a busy process has not read yet: they are not ended for that', () => {
    const { gate, clock, enter } = defaultGate();
    const inside = Array.from({ length: 6 }, (_, i) => enter(`${i}`, 40 * MIB));
    enter('honest', 40 * MIB);
    clock.ms += 5_000;
    gate.checkTimes();
    expect(inside.map(({ state }) => state)).toEqual(Array(6).fill('inside'));
  });
});

describe('gateways that send', () => {
  // Seen red when the oldest was ended, which is the nearest to its end: 6 of 20 ever got through.
  test.each([7, 10, 14, 20])(
    'all of an outage at once, %i of them on slow links, all get through',
    (count) => {
      const { clock, enter, send, check } = defaultGate();
      const endsAtMs = clock.ms + 10 * 60_000;
      const gateways = Array.from({ length: count }, (_, i) => enter(`gateway ${i}`, 40 * MIB));
      const retryAtMs = new Map<number, number>();
      const unfinished = () => gateways.filter(({ outstandingBytes }) => outstandingBytes > 0);
      while (clock.ms < endsAtMs && unfinished().length > 0) {
        check();
        for (const [i, sender] of gateways.entries()) {
          send(sender, 3.3 * MIB);
          expect(sender.state).not.toBe('evicted');
          if (sender.state !== 'refused') continue;
          if (!retryAtMs.has(i)) retryAtMs.set(i, clock.ms + 1_000);
          if (clock.ms < (retryAtMs.get(i) ?? 0)) continue;
          retryAtMs.delete(i);
          gateways[i] = enter(`gateway ${i}`, 40 * MIB);
        }
      }
      expect(unfinished()).toEqual([]);
    },
  );

  // Seen red with the rate left out of `isTooSlow`.
  test('at 64 KiB/s keep their places, whoever waits, also over a pause of seconds', () => {
    const { enter, send, check } = defaultGate();
    const slow = Array.from({ length: 6 }, (_, i) => enter(`slow ${i}`, 40 * MIB));
    enter('other', 40 * MIB);
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 4; i++) {
        if (second % 10 < 5) for (const sender of slow) send(sender, 150 * KIB);
        check();
      }
    }
    expect(slow.map(({ state }) => state)).toEqual(Array(6).fill('inside'));
  });

  // Seen red with the first one that is too slow taken, rather than the slowest.
  test('are ended, where they are too slow for those who wait, the slowest first', () => {
    const { enter, send, check } = defaultGate();
    const slow = [30, 10, 1, 20, 40, 50].map((rate, i) => ({ rate, sender: enter(`slow ${i}`, 40 * MIB) }));
    const other = enter('other', 30 * MIB);
    while (other.state === 'new') {
      for (const { rate, sender } of slow) send(sender, rate * KIB);
      check();
    }
    expect(slow.filter(({ sender }) => sender.state === 'evicted').map(({ rate }) => rate)).toEqual([1]);
  });

  // Seen red without `decompressing` in `isTooSlow`.
  test('are not ended for the time that it takes to decompress what they sent', () => {
    const { enter, check } = defaultGate();
    const inside = Array.from({ length: 6 }, (_, i) => enter(`${i}`, 40 * MIB));
    for (const sender of inside) sender.decompressing = true;
    enter('other', 40 * MIB);
    for (let i = 0; i < 30; i++) check();
    expect(inside.map(({ state }) => state)).toEqual(Array(6).fill('inside'));
  });
});

describe('those who wait for memory', () => {
  // Seen red when a newcomer was let in wherever there was room for it.
  test('are not passed by smaller ones that come later', () => {
    const { memory, enter } = defaultGate();
    memory.usedBytes = 220 * MIB;
    enter('first', MIB);
    expect(enter('big', 40 * MIB).state).toBe('new');
    expect(enter('small', MIB).state).toBe('new');
  });

  // Seen red when refusing came before ending those who are too slow.
  test('are let in, rather than refused, where somebody is too slow', () => {
    const { gate, clock, enter } = defaultGate();
    for (let i = 0; i < 6; i++) enter(`slow ${i}`, 40 * MIB);
    const waiting = enter('waiting', 40 * MIB);
    clock.ms += 10_000;
    gate.checkTimes();
    expect(waiting.state).toBe('inside');
  });

  // Seen red when only the moment of the check counted.
  test('are refused only once there was none for the whole read timeout', () => {
    const { memory, enter, send, check } = defaultGate();
    const own = Array.from({ length: 4 }, () => enter('a', 10 * MIB));
    const waiting = enter('a', 10 * MIB);
    const secondsPass = (seconds: number) => {
      for (let i = 0; i < 4 * seconds; i++) {
        for (const sender of own) send(sender, 100 * KIB);
        check();
      }
    };
    secondsPass(20);
    memory.usedBytes = 240 * MIB;
    secondsPass(9);
    expect(waiting.state).toBe('new');
    secondsPass(2);
    expect(waiting.state).toBe('refused');
  });

  test('of one connection share a quarter of it, or one message', () => {
    const { enter } = defaultGate();
    const states = [40, 20, 20].map((mib) => enter('a', mib * MIB).state);
    expect(states).toEqual(['inside', 'inside', 'new']);
    expect(enter('b', 100 * MIB).state).toBe('inside');
  });
});
