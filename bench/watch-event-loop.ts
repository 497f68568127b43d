/** Loaded into a server (`node --import`): tells its parent how late the event loop was. */
import { monitorEventLoopDelay } from 'node:perf_hooks';

export interface EventLoopDelay {
  readonly p99Ms: number;
  readonly longestMs: number;
}

/** The monitor's own timer counts as delay; it is taken off. */
const RESOLUTION_MS = 1;
const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
histogram.enable();

process.on('message', () => {
  const late = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
  const delay: EventLoopDelay = { p99Ms: late(histogram.percentile(99)), longestMs: late(histogram.max) };
  histogram.reset();
  process.send?.(delay);
});
// The parent's wish to know must not keep the server from ending.
process.channel?.unref();
