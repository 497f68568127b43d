import { createHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Pacing {
  /** Calls at any moment: each caller calls again as soon as it has been answered. */
  readonly inFlight: number;
  /** Not measured: connections open, caches fill, code is compiled. */
  readonly warmUpMs: number;
  readonly measureMs: number;
}

export interface Measured {
  /** Answered while it was measured. */
  readonly calls: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly longestMs: number;
  /** Calls that failed and may be tried again, by status, warm-up included. */
  readonly failures: Readonly<Record<string, number>>;
  /** Answered in all, warm-up included. */
  readonly allCalls: number;
  /** How much of the time this process was busy, 0 to 1: near 1 it measures itself. */
  readonly clientBusy: number;
}

export interface LoadEvents {
  /** What a failed call means: whether to go on, and after how long. */
  onFailure(error: unknown): { readonly status: string; readonly retryAfterMs: number };
}

/** A caller that failed waits at least this long, so that a server that is down is not hammered. */
const LEAST_PAUSE_MS = 100;

/**
 * Keeps a fixed number of calls in flight, and measures those that are answered within the time.
 *
 * @param call makes one call; gets the number of the caller, from 0, and how many calls that caller made before
 * @throws what `onFailure` throws, once all callers have ended
 */
export async function keepInFlight(
  { inFlight, warmUpMs, measureMs }: Pacing,
  call: (caller: number, turn: number) => Promise<unknown>,
  events: LoadEvents,
): Promise<Measured> {
  /** In microseconds. */
  const latencies = createHistogram();
  const failures: Record<string, number> = {};
  const measureFrom = performance.now() + warmUpMs;
  let endsAt = measureFrom + measureMs;
  let allCalls = 0;
  let busyBefore = performance.eventLoopUtilization();
  let clientBusy = 0;

  const clock = [
    setTimeout(() => {
      busyBefore = performance.eventLoopUtilization();
    }, warmUpMs),
    setTimeout(() => {
      clientBusy = performance.eventLoopUtilization(busyBefore).utilization;
    }, warmUpMs + measureMs),
  ];
  const callers = Array.from({ length: inFlight }, (_, caller) => callOnAndOn(caller));
  try {
    await Promise.all(callers);
  } catch (error) {
    endsAt = 0;
    for (const timer of clock) clearTimeout(timer);
    await Promise.allSettled(callers);
    throw error;
  }
  return {
    calls: latencies.count,
    seconds: measureMs / 1000,
    p50Ms: quantile(50),
    p99Ms: quantile(99),
    p999Ms: quantile(99.9),
    longestMs: latencies.count === 0 ? 0 : latencies.max / 1000,
    failures,
    allCalls,
    clientBusy,
  };

  async function callOnAndOn(caller: number): Promise<void> {
    for (let turn = 0; performance.now() < endsAt; turn++) {
      const sentAt = performance.now();
      try {
        await call(caller, turn);
      } catch (error) {
        const { status, retryAfterMs } = events.onFailure(error);
        failures[status] = (failures[status] ?? 0) + 1;
        const left = Math.max(0, endsAt - performance.now());
        await sleep(Math.min(left, Math.max(LEAST_PAUSE_MS, retryAfterMs)));
        continue;
      }
      const answeredAt = performance.now();
      allCalls++;
      if (answeredAt >= measureFrom && answeredAt <= endsAt) {
        latencies.record(Math.max(1, Math.round((answeredAt - sentAt) * 1000)));
      }
    }
  }

  function quantile(percent: number): number {
    return latencies.count === 0 ? 0 : latencies.percentile(percent) / 1000;
  }
}
