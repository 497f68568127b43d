import { status } from '@grpc/grpc-js';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import { Random } from '../chaos/random.ts';
import { callFailed, MemoryLink } from './memory-link.ts';
import { CLUSTER_ID, leafOf, silentLog } from './outbox-contract.ts';
import { VirtualTime } from './virtual-environment.ts';

export interface LostNotary {
  readonly gateways: number;
  readonly awayMs: number;
  /** what it answers while it is away, to all alike; undefined: nobody is there */
  readonly retryDelayMs?: number;
  readonly seed: string;
}

/**
 * Gateways that lose their notary at one instant, each with a leaf to send, and get it back at one instant.
 *
 * @returns when each of them called first after that, in milliseconds from then, ascending
 */
export async function reconnectsAfter({
  gateways,
  awayMs,
  retryDelayMs,
  seed,
}: LostNotary): Promise<number[]> {
  const time = new VirtualTime();
  const random = new Random(seed);
  const backAtMs = time.nowMs + awayMs;
  const firstCallsMs: number[] = [];
  const opened = Array.from({ length: gateways }, (_, index) => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = () => {
      if (time.nowMs >= backAtMs) return void firstCallsMs.push(time.nowMs - backAtMs);
      throw retryDelayMs === undefined
        ? callFailed(status.UNAVAILABLE)
        : callFailed(status.RESOURCE_EXHAUSTED, { reason: 'QUEUE_FULL', retryDelayMs });
    };
    const own = random.fork(`gateway ${index}`);
    return createGatewayIn(
      time.environment(
        () => own.next(),
        () => link,
      ),
      { endpoint: 'nowhere:1', clusterId: CLUSTER_ID, logger: silentLog },
    );
  });
  for (const gateway of opened) await gateway.submit(leafOf(0));
  await time.advance(awayMs);
  await time.advanceUntil(() => firstCallsMs.length === gateways, 3_600_000);
  await Promise.all(opened.map((gateway) => gateway.close()));
  return firstCallsMs.sort((a, b) => a - b);
}

/** The most that fall into any one second, wherever it begins. */
export function busiestSecond(ascendingMs: readonly number[]): number {
  return Math.max(
    ...ascendingMs.map((fromMs) => ascendingMs.filter((ms) => ms >= fromMs && ms < fromMs + 1_000).length),
  );
}

/** A line for each few seconds, with as many marks as fall into them. */
export function histogram(timesMs: readonly number[], stepSeconds: number): string {
  const bins = Math.ceil((Math.max(...timesMs) + 1) / (stepSeconds * 1_000));
  return Array.from({ length: bins }, (_, bin) => {
    const count = timesMs.filter((ms) => Math.floor(ms / (stepSeconds * 1_000)) === bin).length;
    const label = `${String(bin * stepSeconds).padStart(4)} s`;
    return `${label} ${String(count).padStart(3)} ${'#'.repeat(count)}`.trimEnd();
  }).join('\n');
}
