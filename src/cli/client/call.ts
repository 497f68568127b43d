// Calls to a notary: what is tried again, and how failures are told to a person.

import { status } from '@grpc/grpc-js';
import { statusDetails } from '../../rpc/status-details.ts';
import { CliError, codeOf } from '../error.ts';
import { printable } from '../terminal.ts';

export interface RetryPolicy {
  /** How long to go on trying, in milliseconds. */
  readonly forMs: number;
  readonly firstDelayMs: number;
  readonly longestDelayMs: number;
}

/** Somebody waits in front of a terminal. */
export const BRIEFLY: RetryPolicy = { forMs: 5_000, firstDelayMs: 100, longestDelayMs: 1_000 };
/** Long enough for a restart or a failover of the notary; the work so far is worth it. */
export const PATIENTLY: RetryPolicy = { forMs: 600_000, firstDelayMs: 100, longestDelayMs: 10_000 };

/** Time and chance, passed in so that retries can be tested without waiting. */
export interface Pace {
  now(): number;
  /** from 0 up to 1 */
  random(): number;
  sleep(ms: number): Promise<void>;
  /** Told once a call, when it is clear that there will be some waiting. */
  onWait?(error: unknown): void;
}

/** A restart behind a load balancer passes unnoticed; from then on somebody wants to know. */
const NOTICE_AFTER_MS = 2_000;

/**
 * Tries again what may be tried again: no answer, or one that asks to come again (UNAVAILABLE; RESOURCE_EXHAUSTED with
 * RetryInfo, never without: that means "split"). The call must be safe to repeat.
 */
export async function withRetries<T>(call: () => Promise<T>, policy: RetryPolicy, pace: Pace): Promise<T> {
  const begunAt = pace.now();
  const giveUpAt = begunAt + policy.forMs;
  let isNoticed = false;
  let backoffMs = policy.firstDelayMs;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const asked = retryDelayMs(error);
      if (asked === undefined) throw error;
      // Between a half and the whole of it, so that clients that failed together do not come back together.
      const delayMs = Math.max(asked, backoffMs * (0.5 + pace.random() / 2));
      if (pace.now() + delayMs > giveUpAt) throw error;
      if (!isNoticed && pace.now() + delayMs - begunAt > NOTICE_AFTER_MS) {
        isNoticed = true;
        pace.onWait?.(error);
      }
      await pace.sleep(delayMs);
      backoffMs = Math.min(backoffMs * 2, policy.longestDelayMs);
    }
  }
}

/** How long the notary asks to wait before the next try (0: it does not say); undefined where trying again is no use. */
export function retryDelayMs(error: unknown): number | undefined {
  const asked = statusDetails(error)?.retryDelayMs;
  switch (statusOf(error)) {
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
      return asked ?? 0;
    case status.RESOURCE_EXHAUSTED:
      return asked;
    default:
      return undefined;
  }
}

export function statusOf(error: unknown): status | undefined {
  const code = codeOf(error);
  return typeof code === 'number' ? code : undefined;
}

/** What a failed call is to a person; other errors pass unchanged. */
export function explainFailure(error: unknown, endpoint: string): unknown {
  const code = statusOf(error);
  if (code === undefined) return error;
  const details = statusDetails(error);
  const said = printable(
    String((error as { details?: unknown }).details ?? error).replace(/\s*Resolution note:\s*$/, ''),
  );
  // Without details it is no notary that says so, but this side of the connection.
  if ((code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED) && details === undefined) {
    return new CliError(
      'FAILED',
      `no notary answers at ${endpoint} (${said}); is it running, and is --endpoint right?`,
      { cause: error },
    );
  }
  const violations = (details?.violations ?? []).map(({ field, description }) =>
    printable(`${field}: ${description}`),
  );
  const parts = [said, ...violations.filter((violation) => !said.includes(violation))];
  return new CliError('FAILED', `the notary answered ${status[code]}: ${parts.join('; ')}`, { cause: error });
}
