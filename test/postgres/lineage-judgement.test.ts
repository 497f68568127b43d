import { describe, expect, test } from '@jest/globals';
import {
  judgeLineage,
  type KnownLineage,
  type LineageEntry,
  type LineageView,
} from '../../src/postgres/lineage-judgement.ts';

// The database is asked what it is and which row of its lineage is the newest; the rest is a judgement without a database.

const SYSTEM = { systemIdentifier: '7710837556971045379', timeline: 1, storage: '16384/16411' };
const ENTRY: LineageEntry = { ...SYSTEM, number: 3, synchronous: false, lsn: 50n, trusted: true, reason: '' };
const KNOWN: KnownLineage = { ...SYSTEM, number: 3, synchronous: false, lsn: 100n, acknowledgedLsn: 80n };
const NOW = { ...SYSTEM, lsn: 100n, synchronous: false };

/** A database that says this of itself and holds these rows from the known one on. */
function seen(
  known: KnownLineage | undefined,
  now: Partial<typeof NOW>,
  ...rows: LineageEntry[]
): LineageView {
  return {
    ...NOW,
    ...now,
    newest: rows.at(-1),
    remembered: rows.find(({ number }) => number === known?.number),
    since: known === undefined ? [] : rows.filter(({ number }) => number > known.number),
  };
}
const judge = (known: KnownLineage | undefined, now: Partial<typeof NOW>, ...rows: LineageEntry[]) =>
  judgeLineage(known, seen(known, now, ...rows));

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
    expect(judge(KNOWN, {}, ENTRY)).toEqual({ kind: 'same' });
    expect(judge(KNOWN, { lsn: 10_000n }, ENTRY)).toEqual({ kind: 'same' });
    expect(judge(undefined, {}, ENTRY)).toEqual({ kind: 'same' });
  });

  test('gets its first row from the first server', () => {
    expect(judge(undefined, {})).toEqual({ kind: 'first', reason: '' });
  });

  test('gets a row when commits begin to wait for a standby, and when they cease to', () => {
    expect(judge(KNOWN, { synchronous: true }, ENTRY).kind).toBe('durability');
    const { known, newest } = synchronous();
    expect(judge(known, {}, newest).kind).toBe('durability');
    expect(judge(known, { synchronous: true }, newest).kind).toBe('same');
    // This process saw a time without a standby that nobody wrote down.
    expect(judge(KNOWN, { synchronous: true }, newest).kind).toBe('durability');
    // Another one wrote it down.
    expect(judge(KNOWN, { synchronous: true }, ENTRY, { ...newest, number: 4 }).kind).toBe('same');
  });
});

describe('another database', () => {
  const cases: readonly [string, Partial<typeof NOW>, RegExp][] = [
    [
      'with another system identifier',
      { systemIdentifier: '1' },
      /system identifier 1, before 7710837556971045379/,
    ],
    ['on a later timeline', { timeline: 2 }, /on timeline 2, before on 1/],
    ['with other tables', { storage: '16500/16411' }, /object ids 16500\/16411, before 16384\/16411/],
  ];
  test.each(cases)('%s is doubted by who knows it and by who has just started', (_, change, reason) => {
    expect(judge(KNOWN, change, ENTRY)).toEqual(doubted(reason));
    expect(judge(undefined, change, ENTRY)).toEqual(doubted(reason));
  });

  test.each(cases)('%s that another server has doubted already is only told', (_, change) => {
    const noticed = { ...ENTRY, ...change, number: 4, trusted: false, reason: 'found out' };
    const now = { ...change, lsn: 1n };
    const told = { kind: 'noticedElsewhere', trusted: false, reason: 'found out' };
    expect(judge(KNOWN, now, ENTRY, noticed)).toEqual(told);
    expect(judge(undefined, now, noticed)).toEqual({ kind: 'same' });
    // Nor does it matter what came after.
    const later = { ...noticed, number: 5, trusted: true, reason: 'commits wait for no standby any more' };
    expect(judge(KNOWN, now, ENTRY, noticed, later)).toEqual(told);
  });

  test('that lacks a row which this process knows is doubted, although it fits its own newest row', () => {
    const newest = { ...ENTRY, number: 2 };
    expect(judge(KNOWN, {}, newest)).toEqual(doubted(/forgotten row 3/));
    expect(judge(KNOWN, {})).toEqual(doubted(/forgotten/));
    // Two standbys were promoted, and both wrote a third row.
    const other = { ...ENTRY, timeline: 2 };
    expect(judge(KNOWN, { timeline: 2 }, other)).toEqual(doubted(/timeline 2/));
    expect(judge(KNOWN, { timeline: 2 }, other, { ...other, number: 4 })).toEqual(doubted(/timeline 2/));
  });

  test('whose WAL ends earlier is a backup in the old place, unless another server has said so', () => {
    expect(judge(KNOWN, { lsn: 99n }, ENTRY)).toEqual(doubted(/ends at 0\/63, before at 0\/64/));
    const later = { ...ENTRY, number: 4, reason: 'found out' };
    expect(judge(KNOWN, { lsn: 99n }, ENTRY, later)).toEqual(doubted(/ends at 0\/63, before at 0\/64/));
    const told = { kind: 'noticedElsewhere', trusted: false, reason: 'found out' };
    expect(judge(KNOWN, { lsn: 99n }, ENTRY, { ...later, trusted: false })).toEqual(told);
  });
});

describe('after a failover to a synchronous standby', () => {
  const { known, newest } = synchronous();
  const PROMOTED = { timeline: 2 };
  const trust = (...[process, now, ...rows]: Parameters<typeof judge>) => {
    const judgement = judge(process, now, ...rows);
    return judgement.kind === 'changed' && judgement.trusted;
  };

  test('nothing is missing, even if the old WAL went on where nothing was acknowledged', () => {
    expect(trust(known, PROMOTED, newest)).toBe(true);
    expect(trust(known, { ...PROMOTED, lsn: 80n }, newest)).toBe(true);
    expect(trust(undefined, PROMOTED, newest)).toBe(true);
    expect(trust({ ...KNOWN, number: 2 }, PROMOTED, { ...ENTRY, number: 2 }, newest)).toBe(true);
  });

  // Restored to a point in time, or the wrong one of several standbys.
  test('something is missing where anchors beyond its WAL were acknowledged', () => {
    const reason =
      /on timeline 2, before on 1 since 0\/4F at the latest, but anchors beyond 0\/50 were acknowl/;
    expect(judge(known, { ...PROMOTED, lsn: 79n }, newest)).toEqual(doubted(reason));
  });

  test('something may be missing where this process knows of a time without one', () => {
    expect(trust(KNOWN, PROMOTED, newest)).toBe(false);
    expect(trust({ ...KNOWN, number: 4 }, PROMOTED, newest)).toBe(false);
    expect(trust({ ...KNOWN, number: 4, synchronous: true }, PROMOTED, newest)).toBe(false);
  });

  test('a way back, another system or other tables are no failover', () => {
    expect(trust(known, PROMOTED, { ...newest, timeline: 3 })).toBe(false);
    expect(trust(undefined, PROMOTED, { ...newest, timeline: 3 })).toBe(false);
    expect(trust(known, { ...PROMOTED, systemIdentifier: '1' }, newest)).toBe(false);
    expect(trust(known, { ...PROMOTED, storage: '1/1' }, newest)).toBe(false);
  });

  describe('that another server has trusted', () => {
    const found = { ...newest, ...PROMOTED, number: 4, lsn: 80n, reason: 'found out' };
    const now = { ...PROMOTED, lsn: 10_000n, synchronous: true };

    test('a server that knows nothing else agrees', () => {
      const reason = 'the database is on timeline 2, before on 1';
      const agreed = { kind: 'noticedElsewhere', trusted: true, reason };
      expect(judge(known, now, newest, found)).toEqual(agreed);
      expect(judge(undefined, now, found)).toEqual({ kind: 'same' });
      // Row 3 of the old timeline says that its commits waited, whatever was before.
      const before = { ...ENTRY, number: 2 };
      expect(judge({ ...KNOWN, number: 2 }, now, before, newest, found)).toEqual(agreed);
      // Where the timeline that came next began is what counts, not how far the log has come since.
      const again = { ...found, timeline: 3, number: 5, lsn: 10_000n };
      expect(judge(known, { ...now, timeline: 3 }, newest, found, again).kind).toBe('noticedElsewhere');
    });

    // Seen red with a row of another server's taken for the last word.
    test('a server that knows better doubts all the same', () => {
      expect(judge(KNOWN, now, newest, found)).toEqual(doubted(/on timeline 2, before on 1/));
      const early = { ...found, lsn: 79n };
      expect(judge(known, now, newest, early)).toEqual(doubted(/since 0\/4F at the latest/));
      const again = { ...found, timeline: 3, number: 5, lsn: 10_000n };
      expect(judge(known, { ...now, timeline: 3 }, newest, early, again)).toEqual(doubted(/since 0\/4F/));
    });
  });
});
