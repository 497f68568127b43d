import type { LaneEnvironment } from './lane-environment.ts';

/** When the calls of one cluster may be tried: exponential waits with full jitter, after what the notary asks for. */
export class LanePace {
  readonly #env: Pick<LaneEnvironment, 'now' | 'random' | 'after' | 'backoff'>;
  readonly #onOpen: () => void;
  #failures = 0;
  #opensAtMs = 0;
  #mayBeWoken = true;
  #cancelTimer: (() => void) | undefined;

  /** @param onOpen told when a wait is over */
  constructor(env: Pick<LaneEnvironment, 'now' | 'random' | 'after' | 'backoff'>, onOpen: () => void) {
    this.#env = env;
    this.#onOpen = onOpen;
  }

  get isOpen(): boolean {
    return this.#env.now() >= this.#opensAtMs;
  }

  /** Whether the last try failed, so that the next finds out for all. */
  get isFailing(): boolean {
    return this.#failures > 0;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#opensAtMs = 0;
  }

  /**
   * @param atLeastMs how long the notary, or prudence, asks to wait in any case
   * @param mayBeWoken whether the notary's coming back ends it
   */
  failed(atLeastMs: number, mayBeWoken: boolean): void {
    // Tries that were under way together fail together.
    if (!this.isOpen) return;
    const { minDelayMs, maxDelayMs } = this.#env.backoff;
    const mostMs = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(this.#failures, 30));
    const delayMs = atLeastMs + this.#env.random() * mostMs;
    this.#failures++;
    this.#mayBeWoken = mayBeWoken;
    this.#opensAtMs = this.#env.now() + delayMs;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#env.after(delayMs, () => {
      // Timers and the clock differ by a millisecond.
      this.#opensAtMs = 0;
      this.#onOpen();
    });
  }

  /** The notary is back. */
  wake(): void {
    if (this.isOpen || !this.#mayBeWoken) return;
    this.#opensAtMs = 0;
    this.#onOpen();
  }

  close(): void {
    this.#cancelTimer?.();
  }
}
