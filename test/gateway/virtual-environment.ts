import type { Environment } from '../../src/gateway/environment.ts';
import type { NotaryLink } from '../../src/gateway/notary-link.ts';

const TURNS_OF_A_BIG_BATCH = 30;

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

/**
 * A clock that stands still until it is told to go on, and then goes from timer to timer: a day passes in a second, and twice
 * the same way. What a timer sets off comes to rest before the next one is due, as if computing took no time.
 */
export class VirtualTime {
  #nowMs = Date.UTC(2030, 0, 1);
  /** by time; of one time the earlier set first */
  readonly #timers: Timer[] = [];
  #requestIds = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Of one gateway, with chance and a network of its own. Its functions can be taken off it. */
  environment(random: () => number, connect: () => NotaryLink): Environment {
    return {
      now: () => this.#nowMs,
      random,
      newRequestId: () => `0190a1b2-0000-7000-b000-${(++this.#requestIds).toString(16).padStart(12, '0')}`,
      after: (delayMs, run) => this.after(delayMs, run),
      connect,
    };
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), run };
    const place = this.#timers.findLastIndex(({ atMs }) => atMs <= timer.atMs) + 1;
    this.#timers.splice(place, 0, timer);
    return () => {
      const found = this.#timers.indexOf(timer);
      if (found !== -1) this.#timers.splice(found, 1);
    };
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await atRest();
    for (let next = this.#timers[0]; next !== undefined && next.atMs <= untilMs; next = this.#timers[0]) {
      this.#timers.shift();
      this.#nowMs = next.atMs;
      next.run();
      await atRest();
    }
    this.#nowMs = untilMs;
  }

  /** Lets time pass until something has happened. Real work, such as the hashing of big batches, takes none of it. */
  async advanceUntil(isDone: () => boolean, atMostMs: number): Promise<void> {
    const limitMs = this.#nowMs + atMostMs;
    for (;;) {
      await atRest(TURNS_OF_A_BIG_BATCH);
      if (isDone()) return;
      if (this.#nowMs >= limitMs) throw new Error(`not after ${atMostMs} ms of virtual time`);
      await this.advance(Math.min(100, limitMs - this.#nowMs));
    }
  }
}

/** Promises have run out, and what hands over to the event loop between two slices of work has had some turns. */
async function atRest(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
