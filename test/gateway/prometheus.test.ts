import { expect, test } from '@jest/globals';
import { prometheusText } from '../../src/gateway/prometheus.ts';
import { readExposition } from './exposition.ts';
import { BUSY, IDLE } from './gateway-stats.ts';

const valuesOf = (text: string) =>
  Object.fromEntries(
    [...readExposition(text)].map(([name, { type, samples }]) => [
      name.replace('quartermaster_gateway_', ''),
      [
        type,
        ...samples.map(({ labels, value }) => (Object.keys(labels).length === 0 ? value : { labels, value })),
      ],
    ]),
  );

// Red when two numbers change places, or milliseconds are given for seconds.
test('every number stands under its name, in seconds where it is a time', () => {
  expect(valuesOf(prometheusText(BUSY))).toEqual({
    leaves_queued: ['gauge', 101],
    batches_queued: ['gauge', 102],
    leaves_oldest_age_seconds: ['gauge', 103.5],
    leaves_dead: ['gauge', 104],
    batches_in_flight: ['gauge', 105],
    submits_blocked: ['gauge', 106],
    leaves_submitted_total: ['counter', 107],
    leaves_rejected_total: ['counter', 108],
    leaves_anchored_total: ['counter', 109],
    batches_anchored_total: ['counter', 110],
    leaves_refused_total: ['counter', 111],
    calls_sent_total: ['counter', 112],
    calls_retried_total: ['counter', 113],
    batches_split_total: ['counter', 114],
    alarms_raised_total: ['counter', 115],
    notary_up: ['gauge', 0],
    notary_away_start_time_seconds: ['gauge', 1_700_000_116.25],
    submission_stopped: ['gauge', 1],
    last_error_time_seconds: ['gauge', { labels: { code: 'UNAVAILABLE' }, value: 1_700_000_117.75 }],
    info: ['gauge', { labels: { outbox: 'journal' }, value: 1 }],
  });
});

test('what is not so is not told as a time long ago', () => {
  expect(valuesOf(prometheusText(IDLE))).toMatchObject({
    notary_up: ['gauge', 1],
    notary_away_start_time_seconds: ['gauge'],
    last_error_time_seconds: ['gauge'],
    submission_stopped: ['gauge', 0],
  });
});

// Red when the code is passed on as it came.
test.each(['another code', '__proto__', 'toString', ''])(
  'the code %p of an error makes no series of its own',
  (code) => {
    const text = prometheusText({ ...BUSY, lastError: { atMs: 1_000, code, message: 'secret' } });
    expect(valuesOf(text).last_error_time_seconds).toEqual([
      'gauge',
      { labels: { code: 'OTHER' }, value: 1 },
    ]);
    expect(text).not.toContain('secret');
  },
);

// Red without the escapes: the label's end would be the end of the line.
test('a label may hold anything', () => {
  const outbox = 'a "quoted\\ name\nof two lines}';
  expect(valuesOf(prometheusText({ ...IDLE, outbox })).info).toEqual([
    'gauge',
    { labels: { outbox }, value: 1 },
  ]);
});
