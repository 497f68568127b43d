import type { Environment } from './environment.ts';

export interface PaceOptions {
  /** most of the first wait, in milliseconds; doubles with each failure */
  readonly minDelayMs: number;
  /** most of any wait */
  readonly maxDelayMs: number;
}

/** Nobody is kept away for longer by one answer; timers of Node.js that are set for more than 24 days run at once. */
const LONGEST_ASKED_MS = 3_600_000;

/**
 * When to try again, for all batches of a gateway together: the notary is away for all of them. While it is, one call probes
 * and the others wait for its outcome, so that a notary that comes back is not met by everything at once.
 *
 * Waits are exponential with full jitter: anything between nothing and the most, so that many gateways that lost their notary
 * at one instant come back spread out. A wait that the notary asks for comes before that, with as much jitter at least.
 */
export class Pace {
  readonly #environment: Environment;
  readonly #options: PaceOptions;
  #failures = 0;
  /** until the timer says so: clocks of timers and of the system differ by a millisecond */
  #isResting = false;
  #restsUntilMs = 0;
  #probing = false;
  readonly #waiting: (() => void)[] = [];
  #cancelTimer: (() => void) | undefined;

  constructor(environment: Environment, options: PaceOptions) {
    this.#environment = environment;
    this.#options = options;
  }

  /** Whether the last call failed. */
  get isAway(): boolean {
    return this.#failures > 0;
  }

  /** Resolves when the caller may try: then it must say `succeeded`, `failed` or `abandoned`. */
  async turn(signal: AbortSignal): Promise<void> {
    while (this.isAway && (this.#probing || this.#isResting)) {
      if (signal.aborted) return;
      await this.#change(signal);
    }
    if (this.isAway) this.#probing = true;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#probing = false;
    this.#isResting = false;
    this.#cancelTimer?.();
    this.#wake();
  }

  /** @param askedMs how long the notary asks to be left alone; undefined where it does not */
  failed(askedMs: number | undefined): void {
    const nowMs = this.#environment.now();
    // Of several calls that one outage has ended the first has said all, but for one that is asked to wait longer.
    const isLonger = nowMs + Math.max(0, askedMs ?? 0) > this.#restsUntilMs;
    if (this.#isResting && !(askedMs !== undefined && isLonger)) return;
    const { minDelayMs, maxDelayMs } = this.#options;
    const asked = Math.min(Math.max(0, askedMs ?? 0), LONGEST_ASKED_MS);
    const backoff = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(this.#failures, 40));
    // A notary tells all that it turns away the same: with no more jitter than a first backoff they would be back as one crowd.
    const delayMs = asked + this.#environment.random() * Math.max(asked, backoff);
    if (!this.#isResting) this.#failures++;
    this.#probing = false;
    this.#isResting = true;
    this.#restsUntilMs = nowMs + delayMs;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#environment.after(delayMs, () => {
      this.#isResting = false;
      this.#wake();
    });
  }

  /** The try came to nothing that says anything about the notary. */
  abandoned(): void {
    this.#probing = false;
    this.#wake();
  }

  close(): void {
    this.#cancelTimer?.();
    this.#wake();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done);
        resolve();
      };
      signal.addEventListener('abort', done);
      this.#waiting.push(done);
    });
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
