import { Metadata, status } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';
import { explainFailure, type Pace, withRetries } from '../../src/cli/client/call.ts';
import { encodeStatusDetails, STATUS_DETAILS } from '../../src/rpc/status-details.ts';

const POLICY = { forMs: 10_000, firstDelayMs: 100, longestDelayMs: 1_000 };

/** A clock that sleeping moves on. */
function pace(): Pace & { readonly slept: number[] } {
  const slept: number[] = [];
  let now = 0;
  return {
    slept,
    now: () => now,
    random: () => 1,
    async sleep(ms) {
      slept.push(ms);
      now += ms;
    },
  };
}

function failure(code: status, retryDelayMs?: number, details = 'said so'): Error {
  const metadata = new Metadata();
  const bytes = encodeStatusDetails(code, details, {
    reason: 'R',
    domain: 'd',
    violations: [],
    retryDelayMs,
  });
  metadata.set(STATUS_DETAILS, Buffer.from(bytes));
  return Object.assign(new Error(details), { code, details, metadata });
}

/** Fails with these, then succeeds. */
function failing(...errors: readonly Error[]): () => Promise<string> {
  const left = [...errors];
  return async () => {
    const error = left.shift();
    if (error !== undefined) throw error;
    return 'done';
  };
}

describe('withRetries', () => {
  test('tries again, later and later, while the notary is away', async () => {
    const clock = pace();
    const away = failure(status.UNAVAILABLE);
    expect(await withRetries(failing(away, away, away, away, away), POLICY, clock)).toBe('done');
    expect(clock.slept).toEqual([100, 200, 400, 800, 1_000]);
  });

  test('waits for as long as it is asked to', async () => {
    const clock = pace();
    await withRetries(failing(failure(status.RESOURCE_EXHAUSTED, 3_000)), POLICY, clock);
    expect(clock.slept).toEqual([3_000]);
  });

  test('does not repeat what is too large, or wrong', async () => {
    for (const code of [
      status.RESOURCE_EXHAUSTED,
      status.INVALID_ARGUMENT,
      status.NOT_FOUND,
      status.FAILED_PRECONDITION,
    ]) {
      const error = failure(code);
      await expect(withRetries(failing(error), POLICY, pace())).rejects.toBe(error);
    }
  });

  // Seen red without onWait: `anchor` was silent for ten minutes when its notary was gone.
  test('says once that it waits, and nothing of a short interruption', async () => {
    const noticed: unknown[] = [];
    const away = failure(status.UNAVAILABLE);
    const clock = { ...pace(), onWait: (error: unknown) => noticed.push(error) };
    await withRetries(failing(away, away), POLICY, clock);
    expect(noticed).toEqual([]);
    await withRetries(failing(...Array(9).fill(away)), POLICY, clock);
    expect(noticed).toEqual([away]);
  });

  test('gives up when the time is over, with the last failure', async () => {
    const clock = pace();
    const away = failure(status.UNAVAILABLE);
    await expect(withRetries(failing(...Array(100).fill(away)), POLICY, clock)).rejects.toBe(away);
    expect(clock.now()).toBeLessThanOrEqual(POLICY.forMs);
    expect(clock.now()).toBeGreaterThan(POLICY.forMs - POLICY.longestDelayMs);
  });
});

test('a refusal is told with its code and what the notary said', () => {
  const told = explainFailure(failure(status.FAILED_PRECONDITION, undefined, 'cluster is frozen'), 'x:1');
  expect(told).toMatchObject({
    code: 'FAILED',
    message: 'the notary answered FAILED_PRECONDITION: cluster is frozen',
  });
});

test.each([status.UNAVAILABLE, status.DEADLINE_EXCEEDED])(
  'silence (%s) is told with the address that was tried',
  (code) => {
    const silent = Object.assign(new Error('x'), { code, details: 'ECONNREFUSED' });
    expect(explainFailure(silent, '127.0.0.1:1')).toMatchObject({
      message: expect.stringContaining('no notary answers at 127.0.0.1:1'),
    });
  },
);

// Seen red when details were printed as they came.
test('what a server says cannot move the cursor or forge lines on a terminal', () => {
  const hostile = failure(status.NOT_FOUND, undefined, 'gone\r\u001b[2Jverified:\u202e ok\nline 2');
  expect(explainFailure(hostile, 'x:1')).toMatchObject({
    message: 'the notary answered NOT_FOUND: gone\\u{d}\\u{1b}[2Jverified:\\u{202e} ok\\nline 2',
  });
});
