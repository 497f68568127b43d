import { status } from '@grpc/grpc-js';
import { describe, expect, test } from '@jest/globals';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import { GatewayError } from '../../src/gateway/error.ts';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import type { Outbox } from '../../src/gateway/outbox.ts';
import { Random } from '../chaos/random.ts';
import { callFailed, MemoryLink } from './memory-link.ts';
import { CLUSTER_ID, leafOf, numbersOf, silentLog } from './outbox-contract.ts';
import { VirtualTime } from './virtual-environment.ts';

const LEAVES = 120;
const HOUR_MS = 3_600_000;
/** Leaves of a call; more are refused as too many. */
const SMALL = 4;

/** Fails now and then, and has then done nothing. */
function failingNowAndThen(outbox: Outbox, random: Random, probability: number): Outbox {
  const FALLIBLE = new Set(['take', 'settle', 'split', 'bury']);
  return new Proxy(outbox, {
    get(target, name) {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== 'function') return value;
      return (...given: unknown[]) => {
        if (FALLIBLE.has(String(name)) && random.chance(probability))
          return Promise.reject(new GatewayError('OUTBOX_FAILED', 'made to fail'));
        return Reflect.apply(value, target, given) as unknown;
      };
    },
  });
}

interface Story {
  readonly anchored: readonly number[];
  /** by event id, each place that `onAnchored` was told to its end */
  readonly told: ReadonlyMap<string, ReadonlySet<string>>;
  /** by event id, what its handle resolved to */
  readonly resolved: ReadonlyMap<string, string>;
  /** in the outbox at the end */
  readonly left: number | undefined;
  readonly retries: number;
}

/** Everything fails at random: calls before and after the commit, answers for ever or for a while, the outbox, the application. */
async function live(seed: string): Promise<Story> {
  const random = new Random(seed);
  const time = new VirtualTime();
  const link = new MemoryLink(CLUSTER_ID);
  const wait = (ms: number) => new Promise<void>((resolve) => time.after(ms, resolve));
  const [troubled, small, inFlight] = [random.next() * 0.7, random.chance(0.4), random.pick([1, 1, 4])];
  let isOver = false;
  const fail = async (timeoutMs: number) => {
    if (isOver || !random.chance(troubled)) return;
    const kind = random.between(0, 3);
    if (kind === 0) throw callFailed(status.UNAVAILABLE);
    if (kind === 1) throw callFailed(status.RESOURCE_EXHAUSTED, { reason: 'QUEUE_FULL', retryDelayMs: 700 });
    await wait(kind === 2 ? timeoutMs : random.between(1, 900));
    if (kind === 2) throw callFailed(status.DEADLINE_EXCEEDED);
  };
  let lastTimeoutMs = 0;
  link.before = async ({ packedLeaves }, { timeoutMs }) => {
    lastTimeoutMs = timeoutMs;
    if (small && packedLeaves.length > SMALL * 32)
      throw callFailed(status.RESOURCE_EXHAUSTED, { reason: 'TOO_MANY_LEAVES' });
    await fail(timeoutMs);
  };
  link.after = async (answer) => {
    await fail(lastTimeoutMs);
    return answer;
  };
  const told = new Map<string, Set<string>>();
  const own = random.fork('own');
  const gateway = createGatewayIn(
    time.environment(
      () => own.next(),
      () => link,
    ),
    {
      endpoint: 'nowhere:1',
      clusterId: CLUSTER_ID,
      outbox: failingNowAndThen(memoryOutbox(), random.fork('outbox'), random.pick([0, 0.3])),
      batch: { maxLeaves: random.pick([3, 7, 30]), flushIntervalMs: 100, inFlight },
      retry: { minDelayMs: 10, maxDelayMs: 2_000, attemptTimeoutMs: 1_000 },
      verification: { keys: [link.notary.log.vkey] },
      logger: silentLog,
      onAnchored(batch) {
        if (!isOver && own.chance(0.1)) throw new Error('the application cannot now');
        for (const { eventId = '', anchorId, leafIndex } of batch)
          told.set(eventId, (told.get(eventId) ?? new Set()).add(`${anchorId}/${leafIndex}`));
      },
    },
  );
  const resolved = new Map<string, string>();
  for (let n = 0; n < LEAVES; n++) {
    const eventId = `event-${n}`;
    const handle = await gateway.submit({ leaf: leafOf(n), eventId });
    void handle.anchored.then(({ anchorId, leafIndex }) => resolved.set(eventId, `${anchorId}/${leafIndex}`));
    if (random.chance(0.3)) await time.advance(random.between(1, 400));
  }
  await time.advance(60_000);
  isOver = true;
  await time.advanceUntil(() => resolved.size === LEAVES, HOUR_MS);
  const { retries } = await gateway.stats();
  const { leaves: left } = await gateway.close();
  const anchored = link.notary.leaves.flatMap((hex) => numbersOf(new Uint8Array(Buffer.from(hex, 'hex'))));
  if (inFlight > 1) anchored.sort((a, b) => a - b);
  return { anchored, told, resolved, left, retries };
}

// Red when a failed call forgets its batch, when a retry has another request_id, when `settle` is tried once, when the application
// is told once, whether it threw or not, and when a second batch is taken while the first is in flight.
describe('whatever fails, in whatever order', () => {
  const seeds = Array.from({ length: 60 }, (_, number) => `seed ${number}`);

  test('each leaf is anchored once, in its order, and the application hears where', async () => {
    let retries = 0;
    for (const seed of seeds) {
      const story = await live(seed);
      retries += story.retries;
      const places = [...story.resolved.values()];
      expect({ seed, anchored: story.anchored, places: new Set(places).size, left: story.left }).toEqual({
        seed,
        anchored: Array.from({ length: LEAVES }, (_, n) => n),
        places: LEAVES,
        left: 0,
      });
      for (const [eventId, place] of story.resolved)
        expect([...(story.told.get(eventId) ?? [])]).toEqual([place]);
    }
    // What never failed showed nothing.
    expect(retries).toBeGreaterThan(10 * seeds.length);
  });
});
