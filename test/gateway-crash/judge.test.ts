import { describe, expect, test } from '@jest/globals';
import type { LoggedAnchor } from '../gateway/notary-log.ts';
import type { EventRow, Evidence } from './evidence.ts';
import { judge, type Rule } from './judge.ts';
import type { LivedLife } from './life.ts';
import type { RunPlan } from './plan.ts';
import type { ReportLine } from './report.ts';

// The judge is only worth what it sees: a run that was right, and each way in which one can be wrong.

const killed: LivedLife = { code: null, signal: 'SIGKILL', wasStuck: false, output: '' };
const ended: LivedLife = { code: 0, signal: null, wasStuck: false, output: '' };

const plan: RunPlan = {
  name: 'made up',
  outbox: 'journal',
  notary: { kind: 'up' },
  maxLeaves: 3,
  flushIntervalMs: 5,
  inFlight: 1,
  segmentBytes: 2_048,
  processes: [[]],
};

const rowOf = (n: number, anchorId: string, leafIndex: number): EventRow => ({
  eventId: `event-${n}`,
  leaf: `leaf-${n}`,
  notarized: true,
  anchorId,
  leafIndex,
  refusal: undefined,
});
const anchorOf = (logIndex: number, ...numbers: number[]): LoggedAnchor => ({
  anchorId: `anchor-${logIndex}`,
  logIndex,
  requestId: `request-${logIndex}`,
  leaves: numbers.map((n) => `leaf-${n}`),
});
const closed: ReportLine = { type: 'closed', left: 0 };

const right: Evidence = {
  plan,
  rows: [rowOf(1, 'anchor-0', 0), rowOf(2, 'anchor-0', 1), rowOf(3, 'anchor-1', 0)],
  log: [anchorOf(0, 1, 2), anchorOf(1, 3)],
  report: [
    { type: 'began', eventId: 'event-4', leaf: 'leaf-4', pid: 1 },
    { type: 'rolled-back', eventId: 'event-4' },
    { type: 'taken', eventId: 'event-1' },
    { type: 'submitted-again', eventId: 'event-3' },
    { type: 'told', eventId: 'event-1', anchorId: 'anchor-0', leafIndex: 0 },
    closed,
  ],
  lives: [killed],
  last: ended,
};

const withPlan = (changes: Partial<RunPlan>): Evidence => ({ ...right, plan: { ...plan, ...changes } });
const withRow = (index: number, changes: Partial<EventRow>): Evidence => ({
  ...right,
  rows: right.rows.map((row, i) => (i === index ? { ...row, ...changes } : row)),
});
const withLines = (...lines: ReportLine[]): Evidence => ({ ...right, report: [...lines, ...right.report] });
const withLog = (...log: LoggedAnchor[]): Evidence => ({ ...right, log });

describe('the judge', () => {
  test('finds nothing wrong with a run that was right', () => {
    expect(judge(right)).toEqual([]);
  });

  const wrong: [string, Evidence, Rule][] = [
    ['an event is lost', withLog(anchorOf(0, 1, 2)), 'each committed event is in one anchor, at one place'],
    [
      'an event is in two anchors',
      withLog(anchorOf(0, 1, 2), anchorOf(1, 3), anchorOf(2, 3)),
      'each committed event is in one anchor, at one place',
    ],
    [
      'an event is at two places of an anchor',
      withLog(anchorOf(0, 1, 2), anchorOf(1, 3, 3)),
      'each committed event is in one anchor, at one place',
    ],
    [
      'an event that was rolled back is anchored',
      withLog(anchorOf(0, 1, 2), anchorOf(1, 3, 4)),
      'nothing is anchored that was not committed',
    ],
    ['a row has no anchor', withRow(1, { anchorId: null, leafIndex: null }), 'audit_events says where'],
    ['a row has another anchor', withRow(1, { anchorId: 'anchor-1' }), 'audit_events says where'],
    ['a row has another index', withRow(1, { leafIndex: 0 }), 'audit_events says where'],
    ['a row says that it is not notarized', withRow(1, { notarized: false }), 'audit_events says where'],
    ['a receipt is refused', withRow(2, { refusal: 'LEAF_PATH' }), 'the receipt verifies'],
    [
      'two anchors have one request_id',
      withLog(anchorOf(0, 1, 2), { ...anchorOf(1, 3), requestId: 'request-0' }),
      'one request_id, one anchor',
    ],
    [
      'an anchor has no request_id',
      withLog(anchorOf(0, 1, 2), { ...anchorOf(1, 3), requestId: '' }),
      'one request_id, one anchor',
    ],
    [
      'a batch is out of order',
      {
        ...withLog(anchorOf(0, 2, 1), anchorOf(1, 3)),
        rows: [rowOf(1, 'anchor-0', 1), rowOf(2, 'anchor-0', 0), rowOf(3, 'anchor-1', 0)],
        report: [closed],
      },
      'the log keeps the order of submission',
    ],
    [
      'the events of one process are out of order in a batch, although another one is there',
      {
        ...withPlan({ outbox: 'postgres', processes: [[], []] }),
        log: [anchorOf(0, 2, 1), anchorOf(1, 3)],
        rows: [rowOf(1, 'anchor-0', 1), rowOf(2, 'anchor-0', 0), rowOf(3, 'anchor-1', 0)],
        report: [
          { type: 'began', eventId: 'event-1', leaf: 'leaf-1', pid: 1 },
          { type: 'began', eventId: 'event-2', leaf: 'leaf-2', pid: 1 },
          closed,
        ],
      },
      'the log keeps the order of submission',
    ],
    [
      'batches are out of order',
      {
        ...withLog(anchorOf(0, 3), anchorOf(1, 1, 2)),
        rows: [rowOf(1, 'anchor-1', 0), rowOf(2, 'anchor-1', 1), rowOf(3, 'anchor-0', 0)],
        report: [closed],
      },
      'the log keeps the order of submission',
    ],
    [
      'the application was told another place',
      withLines({ type: 'told', eventId: 'event-2', anchorId: 'anchor-0', leafIndex: 0 }),
      'what the application was told is true',
    ],
    [
      'a handle resolved for an event that was never committed',
      withLines({ type: 'resolved', eventId: 'event-4', anchorId: 'anchor-0', leafIndex: 0 }),
      'what the application was told is true',
    ],
    [
      'the outbox had taken an event and does not know it',
      withLines({ type: 'taken', eventId: 'event-3' }),
      'the outbox keeps what it has taken',
    ],
    [
      'the window is wider than one event of a life',
      withLines({ type: 'submitted-again', eventId: 'event-2' }),
      'no more than the last event of a life has to be submitted again',
    ],
    [
      'the Postgres outbox has a window',
      withPlan({ outbox: 'postgres' }),
      'no more than the last event of a life has to be submitted again',
    ],
    [
      'a life ended by itself',
      { ...right, lives: [killed, { ...ended, code: 1 }] },
      'nothing is left, and nobody had to help',
    ],
    [
      'a life did not end',
      { ...right, lives: [{ ...killed, wasStuck: true }] },
      'nothing is left, and nobody had to help',
    ],
    [
      'the last life failed',
      { ...right, last: { ...ended, code: 1 } },
      'nothing is left, and nobody had to help',
    ],
    [
      'leaves are left',
      { ...right, report: [{ type: 'closed', left: 1 }] },
      'nothing is left, and nobody had to help',
    ],
    ['nobody said that nothing is left', { ...right, report: [] }, 'nothing is left, and nobody had to help'],
    [
      'an event has no anchor as the gateway sees it',
      withLines({ type: 'unanchored', eventId: 'event-1', state: 'sealed' }),
      'nothing is left, and nobody had to help',
    ],
    [
      'an honest notary set off an alarm',
      withLines({ type: 'alarm', code: 'ROOT_MISMATCH', message: '' }),
      'nothing is left, and nobody had to help',
    ],
    [
      'a batch was buried for no reason',
      withLines({ type: 'buried', status: 'NOT_FOUND', leaves: 1 }),
      'nothing is left, and nobody had to help',
    ],
    ['a submit waited', withLines({ type: 'slow-submit', ms: 3_000 }), 'submit does not wait for the notary'],
  ];
  test.each(wrong)('sees that %s', (_, evidence, rule) => {
    expect(judge(evidence).map((finding) => finding.rule)).toContain(rule);
  });

  const allowed: [string, Evidence][] = [
    [
      'batches overtake one another where several are in flight',
      {
        ...withPlan({ inFlight: 3 }),
        log: [anchorOf(0, 3), anchorOf(1, 1, 2)],
        rows: [rowOf(1, 'anchor-1', 0), rowOf(2, 'anchor-1', 1), rowOf(3, 'anchor-0', 0)],
        report: [closed],
      },
    ],
    [
      'two processes mix their events in a batch: the row of one and the leaf of the other may be first',
      {
        ...withPlan({ outbox: 'postgres', processes: [[], []] }),
        log: [anchorOf(0, 2, 1), anchorOf(1, 3)],
        rows: [rowOf(1, 'anchor-0', 1), rowOf(2, 'anchor-0', 0), rowOf(3, 'anchor-1', 0)],
        report: [
          { type: 'began', eventId: 'event-1', leaf: 'leaf-1', pid: 1 },
          { type: 'began', eventId: 'event-2', leaf: 'leaf-2', pid: 2 },
          closed,
        ],
      },
    ],
    [
      'batches are buried that a notary does not know the cluster of',
      {
        ...withPlan({ notary: { kind: 'unknown-cluster' } }),
        report: [{ type: 'buried', status: 'NOT_FOUND', leaves: 1 }, closed],
      },
    ],
  ];
  test.each(allowed)('lets %s', (_, evidence) => {
    expect(judge(evidence)).toEqual([]);
  });
});
