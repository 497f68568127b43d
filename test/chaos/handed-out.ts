import { setTimeout as delay } from 'node:timers/promises';
import { status } from '@grpc/grpc-js';
import { verifyCheckpoint } from '../../src/verify/index.ts';
import type { CarefulCaller } from '../integration/careful-caller.ts';
import type { Clients } from '../integration/notary-under-test.ts';

const INTERVAL_MS = 20;

/** Every checkpoint of a log that its servers hand out, whoever asks, all along. */
export class HandedOut {
  readonly #caller: CarefulCaller;
  readonly #rootOf = new Map<number, string>();
  readonly #stopped = new AbortController();
  readonly #asking: Promise<void>[] = [];
  #wake = () => {};

  constructor(caller: CarefulCaller) {
    this.#caller = caller;
  }

  /** Asks this server again and again, until `stop`. */
  ask({ notary }: Clients): void {
    const { clusterId } = this.#caller;
    const { signal } = this.#stopped;
    const loop = async () => {
      while (!signal.aborted) {
        await notary.getCheckpoint({ clusterId }, { timeoutMs: 2_000 }).then(
          ({ checkpoint }) => this.note(checkpoint),
          (error: { readonly code?: unknown }) => {
            if (error.code !== status.UNAVAILABLE && error.code !== status.DEADLINE_EXCEEDED) throw error;
          },
        );
        await delay(INTERVAL_MS, undefined, { signal }).catch(() => {});
      }
    };
    const asking = loop();
    // `stop` is where it is told.
    asking.catch(() => {});
    this.#asking.push(asking);
  }

  /** One that came with an answer. @throws where another root was handed out for its size */
  note(checkpoint: string): void {
    const { size, root } = verifyCheckpoint(checkpoint, this.#caller.policy);
    const hex = Buffer.from(root).toString('hex');
    const earlier = this.#rootOf.get(size);
    if (earlier !== undefined && earlier !== hex) throw new Error(`two roots were signed for size ${size}`);
    this.#rootOf.set(size, hex);
    this.#wake();
  }

  get largest(): number {
    return Math.max(...this.#rootOf.keys());
  }

  /** Resolves when one of at least this size was handed out. */
  async reached(size: number): Promise<void> {
    while (this.largest < size) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#asking);
  }
}
