import type { Measured } from './keep-in-flight.ts';

/** What a load counts: a call anchors leaves, or asks for proofs. */
export interface Counted {
  readonly unit: 'leaves' | 'proofs';
  readonly perCall: number;
}

/** Above this share of one core the client itself is likely to be what was measured. */
const BUSY_CLIENT = 0.9;

/** The rows that are printed for people, as a table in Markdown. */
export function measuredAsTable(measured: Measured, { unit, perCall }: Counted): string {
  const { calls, seconds, p50Ms, p99Ms, p999Ms, longestMs, failures } = measured;
  const failed = Object.entries(failures).map(([status, count]) => `${count} ${status}`);
  const cells = {
    'calls/s': whole(calls / seconds),
    [`${unit}/s`]: whole((calls * perCall) / seconds),
    'p50 ms': p50Ms.toFixed(2),
    'p99 ms': p99Ms.toFixed(2),
    'p99.9 ms': p999Ms.toFixed(2),
    'longest ms': longestMs.toFixed(2),
    failed: failed.join(', ') || '0',
  };
  return table(Object.keys(cells), [Object.values(cells)]);
}

export function measuredAsJson(measured: Measured, { unit, perCall }: Counted) {
  const { calls, seconds, p50Ms, p99Ms, p999Ms, longestMs, failures, allCalls, clientBusy } = measured;
  return {
    calls,
    seconds,
    calls_per_second: calls / seconds,
    [`${unit}_per_second`]: (calls * perCall) / seconds,
    p50_ms: p50Ms,
    p99_ms: p99Ms,
    p999_ms: p999Ms,
    longest_ms: longestMs,
    failures,
    calls_with_warm_up: allCalls,
    client_busy: Number(clientBusy.toFixed(3)),
  };
}

/** What whoever reads the figures should know of them. */
export function caveats({ clientBusy }: Measured): readonly string[] {
  if (clientBusy < BUSY_CLIENT) return [];
  return [
    `this client was busy ${Math.round(clientBusy * 100)} % of the time and may itself be the limit: run several, on other machines`,
  ];
}

/** Columns of one width each; numbers stand at the right. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, i) => Math.max(head.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const isNumeric = heads.map((_, i) => rows.every((row) => /^[\d.,%-]*$/.test(row[i] ?? '')));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => (isNumeric[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0))).join(' | ')} |`;
  const rule = widths.map((width, i) => (isNumeric[i] ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  return [line(heads), line(rule), ...rows.map(line)].join('\n');
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en');
}
