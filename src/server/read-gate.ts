/** Somebody who sends a message. */
export interface Sender {
  /** Equal for senders on one connection. */
  readonly connection: unknown;
  /** Announced, and not here yet. */
  readonly outstandingBytes: number;
  /** May go on; maybe during `enter`. */
  granted(): void;
  /** Must end: its time is over and others wait. `leave` has been done for it. */
  evicted(): void;
  /** Must end: there was no memory for its message all the time that it waited. `leave` has been done for it. */
  refusedForMemory(): void;
}

/** What the messages of those inside go into. */
export interface GateMemory {
  /** For big messages, at this moment. */
  freeBytes(): number;
  /** With nothing in it. */
  readonly capacityBytes: number;
  /** Gives up something that is past its time; false where there is nothing such. */
  evictOverdue(): boolean;
}

export interface ReadGateOptions {
  readonly concurrentReads: number;
  readonly readsPerConnection: number;
  readonly readTimeoutMs: number;
  /** Unbounded where undefined. */
  readonly memory?: GateMemory;
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
 *
 * Who is inside has been promised the memory for the whole message. Refused one by one as memory runs out in mid-message, big
 * senders would only ever throw away what each of them has sent: thirty-two got four batches through in forty seconds.
 */
export class ReadGate {
  readonly #options: ReadGateOptions;
  readonly #now: () => number;
  /** By time of entry, oldest first. */
  readonly #inside = new Map<Sender, number>();
  readonly #perConnection = new Map<unknown, number>();
  /** Senders of small messages that come in pieces: they take no place, but have to end some time as well. */
  readonly #small = new Map<Sender, number>();
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

  enterSmall(sender: Sender): void {
    this.#small.set(sender, this.#now());
  }

  /** Done, refused or gone; again is harmless. */
  leave(sender: Sender): void {
    if (this.#small.delete(sender)) return;
    if (this.#waiting.delete(sender)) this.#stopTimerWhenIdle();
    else if (this.#remove(sender)) this.#admitNext();
  }

  /** Ends the sender that is longest past its time, of one connection or of all. False where there is none. */
  evictOverdue(connection?: unknown): boolean {
    const overdueSince = this.#now() - this.#options.readTimeoutMs;
    for (const [sender, enteredAt] of this.#inside) {
      if (enteredAt > overdueSince) break;
      if (connection !== undefined && sender.connection !== connection) continue;
      this.#remove(sender);
      sender.evicted();
      this.#admitNext();
      return true;
    }
    // A connection that is full is full of big ones.
    return connection === undefined && this.#evictSmall(overdueSince);
  }

  #evictSmall(overdueSince: number): boolean {
    for (const [sender, enteredAt] of this.#small) {
      if (enteredAt > overdueSince) return false;
      this.#small.delete(sender);
      sender.evicted();
      return true;
    }
    return false;
  }

  /** Memory has become free. */
  memoryFreed(): void {
    if (this.#waiting.size > 0) this.#admitNext();
  }

  /** Makes room for those who have waited for too long. Runs by itself while anybody waits. */
  checkTimes(): void {
    this.#admitNext();
    this.#refuseForMemory();
    const waitingSince = this.#now() - PATIENCE_MS;
    for (const [sender, arrivedAt] of [...this.#waiting]) {
      if (arrivedAt > waitingSince) return;
      if (!this.#waiting.has(sender)) continue;
      const evicted = this.evictOverdue(this.#isFullFor(sender.connection) ? sender.connection : undefined);
      if (!evicted && this.#lacksMemoryFor(sender)) this.#options.memory?.evictOverdue();
    }
  }

  /** Nobody is held for ever by what others have in memory: told to come again, a caller can also ask another replica. */
  #refuseForMemory(): void {
    const overdueSince = this.#now() - this.#options.readTimeoutMs;
    for (const [sender, arrivedAt] of [...this.#waiting]) {
      if (arrivedAt > overdueSince) return;
      if (!this.#lacksMemoryFor(sender) || !this.#waiting.delete(sender)) continue;
      sender.refusedForMemory();
    }
    this.#stopTimerWhenIdle();
  }

  #hasPlaceFor(sender: Sender): boolean {
    return (
      this.#inside.size < this.#options.concurrentReads &&
      !this.#isFullFor(sender.connection) &&
      !this.#lacksMemoryFor(sender)
    );
  }

  #lacksMemoryFor({ outstandingBytes }: Sender): boolean {
    const { memory } = this.#options;
    if (memory === undefined) return false;
    let promisedBytes = 0;
    for (const sender of this.#inside.keys()) promisedBytes += sender.outstandingBytes;
    // Alone, a message may begin that only fits once others have ended: it would wait for ever for all of them at once.
    const neededBytes =
      promisedBytes > 0
        ? promisedBytes + outstandingBytes
        : Math.min(outstandingBytes, memory.capacityBytes / 2);
    return neededBytes > memory.freeBytes();
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
      // Smaller messages behind it must not take what it waits for.
      if (this.#lacksMemoryFor(sender)) break;
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
