import type { GatewayLogger } from '../gateway/logger.ts';

/** Whether the notary is there, as the last tries found: one line when it goes away, one when it is back. */
export class NotaryPresence {
  readonly #log: GatewayLogger;
  readonly #now: () => number;
  #awaySinceMs: number | undefined;

  constructor(log: GatewayLogger, now: () => number) {
    this.#log = log;
    this.#now = now;
  }

  get isAway(): boolean {
    return this.#awaySinceMs !== undefined;
  }

  /** @returns whether it was away */
  isThere(): boolean {
    if (this.#awaySinceMs === undefined) return false;
    const awayMs = this.#now() - this.#awaySinceMs;
    this.#awaySinceMs = undefined;
    this.#log.info({ awayMs }, 'the notary is back');
    return true;
  }

  failed(status: string, reason: string): void {
    if (this.#awaySinceMs !== undefined) return;
    this.#awaySinceMs = this.#now();
    this.#log.warn({ status, reason }, 'the notary is away: calls are kept in the spool');
  }
}
