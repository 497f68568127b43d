import type { Backlog } from './outbox.ts';
import type { GatewayStats, LastError } from './stats.ts';

/** Counts what happens, and wakes those who wait for something to happen. */
export class Tally {
  submittedLeaves = 0;
  rejectedLeaves = 0;
  #anchoredLeaves = 0;
  #anchoredBatches = 0;
  #refusedLeaves = 0;
  #attempts = 0;
  #retries = 0;
  #splits = 0;
  #alarms = 0;
  #awaySinceMs: number | undefined;
  #lastError: LastError | undefined;
  #nextChange: Promise<void> | undefined;
  #tellChange: (() => void) | undefined;

  anchored(leaves: number): void {
    this.#anchoredLeaves += leaves;
    this.#anchoredBatches++;
    this.changed();
  }

  refused(leaves: number): void {
    this.#refusedLeaves += leaves;
    this.changed();
  }

  attempted(isRetry: boolean): void {
    this.#attempts++;
    if (isRetry) this.#retries++;
  }

  split(): void {
    this.#splits++;
  }

  alarm(atMs: number, code: string, message: string): void {
    this.#alarms++;
    this.failed(atMs, code, message);
    this.changed();
  }

  away(atMs: number): void {
    this.#awaySinceMs ??= atMs;
  }

  /** @returns how long it was away, in milliseconds */
  back(atMs: number): number {
    const awayMs = this.#awaySinceMs === undefined ? 0 : atMs - this.#awaySinceMs;
    this.#awaySinceMs = undefined;
    return awayMs;
  }

  failed(atMs: number, code: string, message: string): void {
    this.#lastError = { atMs, code, message };
  }

  /** Resolves at the next change of what is left. */
  nextChange(): Promise<void> {
    // One for all: who asks and does not wait leaves nothing behind.
    this.#nextChange ??= new Promise((resolve) => {
      this.#tellChange = resolve;
    });
    return this.#nextChange;
  }

  changed(): void {
    this.#nextChange = undefined;
    this.#tellChange?.();
  }

  stats(
    nowMs: number,
    outbox: string,
    { leaves, batches, deadLeaves, oldestAtMs }: Backlog,
    now: Pick<GatewayStats, 'inFlightBatches' | 'blockedSubmits' | 'isStopped'>,
  ): GatewayStats {
    return {
      outbox,
      queuedLeaves: leaves,
      queuedBatches: batches,
      oldestAgeMs: oldestAtMs === undefined ? 0 : Math.max(0, nowMs - oldestAtMs),
      deadLeaves,
      ...now,
      submittedLeaves: this.submittedLeaves,
      rejectedLeaves: this.rejectedLeaves,
      anchoredLeaves: this.#anchoredLeaves,
      anchoredBatches: this.#anchoredBatches,
      refusedLeaves: this.#refusedLeaves,
      attempts: this.#attempts,
      retries: this.#retries,
      splits: this.#splits,
      alarms: this.#alarms,
      awaySinceMs: this.#awaySinceMs,
      lastError: this.#lastError,
    };
  }
}
