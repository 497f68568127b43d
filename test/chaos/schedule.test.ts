import { expect, test } from '@jest/globals';
import { Random } from './random.ts';
import { FAULT_KINDS, makeSchedule } from './schedule.ts';

const schedule = (seed: string, seconds: number) =>
  makeSchedule({ random: new Random(seed), seconds, servers: 3, freezeMs: 12_000 });

test('a seed makes the same schedule again, and another seed another one', () => {
  expect(schedule('one', 60)).toEqual(schedule('one', 60));
  expect(schedule('one', 60)).not.toEqual(schedule('two', 60));
});

test.each([5, 45, 600])(
  'in %d seconds every kind of fault comes, in order, and no longer than that',
  (seconds) => {
    const strikes = schedule('any', seconds);
    expect(new Set(strikes.map(({ fault }) => fault.kind))).toEqual(new Set(FAULT_KINDS));
    const times = strikes.map(({ atMs }) => atMs);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times.at(-1)).toBeLessThan(seconds * 1_300);
  },
);
