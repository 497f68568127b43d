import { describe, expect, test } from '@jest/globals';
import {
  judgeLineage,
  type KnownLineage,
  type LineageEntry,
  type LineageView,
} from '../../src/postgres/lineage-judgement.ts';

// The database is asked what it is and which row of its lineage is the newest; the rest is a judgement without a database.

const SYSTEM = { systemIdentifier: '7710837556971045379', timeline: 1, storage: '16384/16411' };
const ENTRY: LineageEntry = { ...SYSTEM, number: 3, synchronous: false, reason: '' };
const KNOWN: KnownLineage = { ...ENTRY, lsn: 100n };
const VIEW: LineageView = { ...SYSTEM, lsn: 100n, synchronous: false, newest: ENTRY };

const synchronous = (is = true) => ({
  known: { ...KNOWN, synchronous: is },
  newest: { ...ENTRY, synchronous: is },
});
const doubted = (reason: RegExp) => ({
  kind: 'changed',
  trusted: false,
  reason: expect.stringMatching(reason),
});

describe('the same database', () => {
  test('is the same, for a process that knows it and for one that has just started', () => {
    expect(judgeLineage(KNOWN, VIEW)).toEqual({ kind: 'same' });
    expect(judgeLineage(KNOWN, { ...VIEW, lsn: 10_000n })).toEqual({ kind: 'same' });
    expect(judgeLineage(undefined, VIEW)).toEqual({ kind: 'same' });
  });

  test('gets its first row from the first server', () => {
    expect(judgeLineage(undefined, { ...VIEW, newest: undefined })).toEqual({ kind: 'first', reason: '' });
  });

  test('gets a row when commits begin to wait for a standby, and when they cease to', () => {
    expect(judgeLineage(KNOWN, { ...VIEW, synchronous: true }).kind).toBe('durability');
    const { known, newest } = synchronous();
    expect(judgeLineage(known, { ...VIEW, newest }).kind).toBe('durability');
    expect(judgeLineage(known, { ...VIEW, newest, synchronous: true }).kind).toBe('same');
    // This process saw a time without a standby that nobody wrote down.
    expect(judgeLineage(KNOWN, { ...VIEW, newest, synchronous: true }).kind).toBe('durability');
  });
});

describe('another database', () => {
  const cases: readonly [string, Partial<LineageView>, RegExp][] = [
    [
      'with another system identifier',
      { systemIdentifier: '1' },
      /system identifier 1, before 7710837556971045379/,
    ],
    ['on a later timeline', { timeline: 2 }, /on timeline 2, before on 1/],
    ['with other tables', { storage: '16500/16411' }, /object ids 16500\/16411, before 16384\/16411/],
  ];
  test.each(cases)('%s is doubted by who knows it and by who has just started', (_, change, reason) => {
    expect(judgeLineage(KNOWN, { ...VIEW, ...change })).toEqual(doubted(reason));
    expect(judgeLineage(undefined, { ...VIEW, ...change })).toEqual(doubted(reason));
  });

  test.each(cases)('%s that another server has written down already is only told', (_, change) => {
    const newest = { ...ENTRY, ...change, number: 4, reason: 'found out' };
    const view = { ...VIEW, ...change, newest, lsn: 1n };
    expect(judgeLineage(KNOWN, view)).toEqual({ kind: 'noticedElsewhere', reason: 'found out' });
    expect(judgeLineage(undefined, view)).toEqual({ kind: 'same' });
  });

  test('that lacks a row which this process knows is doubted, although it fits its own newest row', () => {
    const newest = { ...ENTRY, number: 2 };
    expect(judgeLineage(KNOWN, { ...VIEW, newest })).toEqual(doubted(/forgotten row 3/));
    expect(judgeLineage(KNOWN, { ...VIEW, newest: undefined })).toEqual(doubted(/forgotten/));
    // Two standbys were promoted, and both wrote a third row.
    const other = { ...SYSTEM, timeline: 2 };
    const forked = { ...VIEW, ...other, newest: { ...ENTRY, ...other } };
    expect(judgeLineage(KNOWN, forked)).toEqual(doubted(/timeline 2/));
  });

  test('whose WAL ends earlier is a backup in the old place, unless another server has said so', () => {
    expect(judgeLineage(KNOWN, { ...VIEW, lsn: 99n })).toEqual(doubted(/ends at 0\/63, before at 0\/64/));
    const newest = { ...ENTRY, number: 4, reason: 'found out' };
    const told = { kind: 'noticedElsewhere', reason: 'found out' };
    expect(judgeLineage(KNOWN, { ...VIEW, newest, lsn: 99n })).toEqual(told);
  });
});

describe('after a failover to a synchronous standby', () => {
  const promoted = (newest: LineageEntry, change: Partial<LineageView> = {}): LineageView => ({
    ...VIEW,
    timeline: 2,
    newest,
    ...change,
  });
  const trust = (known: KnownLineage | undefined, view: LineageView) => {
    const judgement = judgeLineage(known, view);
    return judgement.kind === 'changed' && judgement.trusted;
  };

  test('nothing is missing, whatever the WAL of the two was', () => {
    const { known, newest } = synchronous();
    expect(trust(known, promoted(newest))).toBe(true);
    expect(trust(known, promoted(newest, { lsn: 1n }))).toBe(true);
    expect(trust(undefined, promoted(newest))).toBe(true);
    expect(trust({ ...KNOWN, number: 2 }, promoted(newest))).toBe(true);
  });

  test('something may be missing where this process knows of a time without one', () => {
    const { newest } = synchronous();
    expect(trust(KNOWN, promoted(newest))).toBe(false);
    expect(trust({ ...KNOWN, number: 4 }, promoted(newest))).toBe(false);
    expect(trust({ ...KNOWN, number: 4, synchronous: true }, promoted(newest))).toBe(false);
  });

  test('a way back, another system or other tables are no failover', () => {
    const { known, newest } = synchronous();
    expect(trust(known, promoted({ ...newest, timeline: 3 }))).toBe(false);
    expect(trust(undefined, promoted({ ...newest, timeline: 3 }))).toBe(false);
    expect(trust(known, promoted(newest, { systemIdentifier: '1' }))).toBe(false);
    expect(trust(known, promoted(newest, { storage: '1/1' }))).toBe(false);
  });
});
