/** Somebody who sends a big message. */
export interface Sender {
  /** Equal for senders on one connection. */
  readonly connection: unknown;
  /** May go on; maybe during `enter`. */
  granted(): void;
  /** Must end: its time is over and others wait. `leave` has been done for it. */
  evicted(): void;
}

export interface ReadGateOptions {
  readonly concurrentReads: number;
  readonly readsPerConnection: number;
  readonly readTimeoutMs: number;
  /** In milliseconds. */
  readonly now?: () => number;
}

/** How long somebody waits before one who is past its time has to go. */
const PATIENCE_MS = 1_000;
const CHECK_EVERY_MS = 250;

/**
 * Lets in a bounded number of senders, few of any one connection; the others are held by flow control.
 *
 * A sender past its time loses its place only when another needs it: a gateway on a slow link with hours of events in one
 * message must get through some time, while sixteen hostile slow senders must not shut everyone else out.
 */
export class ReadGate {
  readonly #options: ReadGateOptions;
  readonly #now: () => number;
  /** By time of entry, oldest first. */
  readonly #inside = new Map<Sender, number>();
  readonly #perConnection = new Map<unknown, number>();
  /** First come, first served, as far as the connection has a place left. */
  readonly #waiting = new Map<Sender, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReadGateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get insideCount(): number {
    return this.#inside.size;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  enter(sender: Sender): void {
    if (this.#hasPlaceFor(sender)) {
      this.#admit(sender);
      return;
    }
    this.#waiting.set(sender, this.#now());
    this.#timer ??= setInterval(() => this.checkTimes(), CHECK_EVERY_MS).unref();
  }

  /** Done, refused or gone; again is harmless. */
  leave(sender: Sender): void {
    if (this.#waiting.delete(sender)) this.#stopTimerWhenIdle();
    else if (this.#remove(sender)) this.#admitNext();
  }

  /** Ends the sender that is longest past its time, of one connection or of all. False where there is none. */
  evictOverdue(connection?: unknown): boolean {
    const overdueSince = this.#now() - this.#options.readTimeoutMs;
    for (const [sender, enteredAt] of this.#inside) {
      if (enteredAt > overdueSince) return false;
      if (connection !== undefined && sender.connection !== connection) continue;
      this.#remove(sender);
      sender.evicted();
      this.#admitNext();
      return true;
    }
    return false;
  }

  /** Makes room for those who have waited for too long. Runs by itself while anybody waits. */
  checkTimes(): void {
    const waitingSince = this.#now() - PATIENCE_MS;
    for (const [sender, arrivedAt] of [...this.#waiting]) {
      if (arrivedAt > waitingSince) return;
      if (!this.#waiting.has(sender)) continue;
      this.evictOverdue(this.#isFullFor(sender.connection) ? sender.connection : undefined);
    }
  }

  #hasPlaceFor(sender: Sender): boolean {
    return this.#inside.size < this.#options.concurrentReads && !this.#isFullFor(sender.connection);
  }

  #isFullFor(connection: unknown): boolean {
    return (this.#perConnection.get(connection) ?? 0) >= this.#options.readsPerConnection;
  }

  #admit(sender: Sender): void {
    this.#inside.set(sender, this.#now());
    this.#perConnection.set(sender.connection, (this.#perConnection.get(sender.connection) ?? 0) + 1);
    sender.granted();
  }

  #remove(sender: Sender): boolean {
    if (!this.#inside.delete(sender)) return false;
    const left = (this.#perConnection.get(sender.connection) ?? 1) - 1;
    if (left === 0) this.#perConnection.delete(sender.connection);
    else this.#perConnection.set(sender.connection, left);
    return true;
  }

  #admitNext(): void {
    for (const sender of this.#waiting.keys()) {
      if (this.#inside.size >= this.#options.concurrentReads) break;
      if (this.#isFullFor(sender.connection)) continue;
      this.#waiting.delete(sender);
      this.#admit(sender);
    }
    this.#stopTimerWhenIdle();
  }

  #stopTimerWhenIdle(): void {
    if (this.#waiting.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
