import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { ReadGate } from '../../src/server/read-gate.ts';
import { FakeSender } from './fake-sender.ts';

function gateWithClock() {
  const clock = { ms: 1_000_000 };
  const gate = new ReadGate({
    concurrentReads: 4,
    readsPerConnection: 2,
    readTimeoutMs: 10_000,
    now: () => clock.ms,
  });
  const enter = (connection: string) => {
    const sender = new FakeSender(connection);
    gate.enter(sender);
    return sender;
  };
  return { gate, clock, enter };
}

describe('the gate for senders of big messages', () => {
  test('lets in as many as there is room for, and few of one connection', () => {
    const { gate, enter } = gateWithClock();
    const states = ['a', 'a', 'a', 'b', 'c', 'd'].map((name) => enter(name).state);
    expect(states).toEqual(['inside', 'inside', 'new', 'inside', 'inside', 'new']);
    expect([gate.insideCount, gate.waitingCount]).toEqual([4, 2]);
  });

  test('lets in the first of those who wait whose connection has room', () => {
    const { gate, enter } = gateWithClock();
    const [a1, , a3, b1] = ['a', 'a', 'a', 'b', 'c', 'd'].map(enter);
    const d = enter('d');
    gate.leave(b1!);
    expect(a3!.state).toBe('new');
    gate.leave(a1!);
    expect(a3!.state).toBe('inside');
    expect(d.state).toBe('new');
  });

  test('leaves a slow sender alone while nobody needs its place', () => {
    const { gate, clock, enter } = gateWithClock();
    const slow = enter('a');
    clock.ms += 3_600_000;
    gate.checkTimes();
    expect(slow.state).toBe('inside');
  });

  test('gives the place of the slowest to somebody who has waited a second, after its ten seconds', () => {
    const { gate, clock, enter } = gateWithClock();
    const slow = ['a', 'a', 'b', 'b'].map(enter);
    const honest = enter('c');
    clock.ms += 9_999;
    gate.checkTimes();
    expect(honest.state).toBe('new');
    clock.ms += 1;
    gate.checkTimes();
    expect(honest.state).toBe('inside');
    expect(slow.map(({ state }) => state)).toEqual(['evicted', 'inside', 'inside', 'inside']);
  });

  test('does not evict for somebody who has hardly waited: places come free by themselves', () => {
    const { gate, clock, enter } = gateWithClock();
    const slow = ['a', 'a', 'b', 'b'].map(enter);
    clock.ms += 20_000;
    const honest = enter('c');
    clock.ms += 999;
    gate.checkTimes();
    expect(honest.state).toBe('new');
    expect(slow.every(({ state }) => state === 'inside')).toBe(true);
  });

  test('evicts from a connection what its own callers wait for', () => {
    const { gate, clock, enter } = gateWithClock();
    const other = enter('b');
    const slow = enter('a');
    enter('a');
    const waiting = enter('a');
    clock.ms += 10_000;
    gate.checkTimes();
    expect([other.state, slow.state, waiting.state]).toEqual(['inside', 'evicted', 'inside']);
  });

  test('is never over its bounds and never keeps anybody out for nothing', () => {
    const action = fc.record({
      kind: fc.constantFrom('enter', 'leave', 'tick'),
      who: fc.nat({ max: 30 }),
      connection: fc.constantFrom('a', 'b', 'c', 'd'),
    });
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const { gate, clock, enter } = gateWithClock();
        let senders: FakeSender[] = [];
        for (const { kind, who, connection } of actions) {
          if (kind === 'enter') senders.push(enter(connection));
          const leaving = senders[who];
          if (kind === 'leave' && leaving !== undefined) {
            gate.leave(leaving);
            gate.leave(leaving);
            senders = senders.filter((sender) => sender !== leaving);
          }
          if (kind === 'tick') {
            clock.ms += who * 500;
            gate.checkTimes();
          }
          senders = senders.filter(({ state }) => state !== 'evicted');
          const inside = senders.filter(({ state }) => state === 'inside');
          const of = (name: string) => inside.filter((sender) => sender.connection === name).length;
          expect(inside).toHaveLength(gate.insideCount);
          expect(senders).toHaveLength(gate.insideCount + gate.waitingCount);
          expect(inside.length).toBeLessThanOrEqual(4);
          for (const name of ['a', 'b', 'c', 'd']) expect(of(name)).toBeLessThanOrEqual(2);
          for (const waiting of senders.filter(({ state }) => state === 'new')) {
            expect(inside.length === 4 || of(waiting.connection) === 2).toBe(true);
          }
        }
        for (const sender of senders) gate.leave(sender);
        expect([gate.insideCount, gate.waitingCount]).toEqual([0, 0]);
      }),
    );
  });
});
