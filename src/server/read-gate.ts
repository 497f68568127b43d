import { SenderProgress } from './sender-progress.ts';
import { WaitingSenders } from './waiting-senders.ts';

/** Somebody who sends a message. */
export interface Sender {
  /** Equal for senders on one connection. */
  readonly connection: unknown;
  /** What its message may still take, decompressed where it is compressed, beside what is here. */
  readonly outstandingBytes: number;
  /** All of it has been sent: that it is not here yet is not the sender's fault. */
  readonly decompressing: boolean;
  /** May go on; maybe during `enter`. */
  granted(): void;
  /** Must end: it is too slow and others wait. `leave` has been done for it. */
  evicted(): void;
  /** Must end: for the whole read timeout there was no memory for its message. `leave` has been done for it. */
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

/** How long somebody waits before one who is too slow has to go. */
const PATIENCE_MS = 1_000;
const CHECK_EVERY_MS = 250;
/** Of the memory, promised to one connection that sends several messages at once. */
const CONNECTION_SHARE = 1 / 4;

/**
 * Lets in a bounded number of senders of big messages, few of any one connection; the others are held by flow control, and get
 * in by turns (`WaitingSenders`).
 *
 * A sender that is too slow (`SenderProgress`) loses its place only when another needs it: a gateway on a slow link with hours
 * of events in one message must get through some time, while sixteen hostile slow senders must not shut everyone else out.
 *
 * Who is inside has been promised the memory for the whole message. Refused one by one as memory runs out in mid-message, big
 * senders would only ever throw away what each of them has sent: thirty-two got four batches through in forty seconds.
 */
export class ReadGate {
  readonly #options: ReadGateOptions;
  readonly #now: () => number;
  readonly #inside = new Map<Sender, SenderProgress>();
  readonly #waiting = new WaitingSenders();
  /** Senders of small messages, oldest first: they take no place, but have to come to their end as well. */
  readonly #small = new Map<Sender, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ReadGateOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  get insideCount(): number {
    return this.#inside.size;
  }

  get waitingCount(): number {
    return this.#waiting.count;
  }

  /** Behind all who wait already, but for those who wait for their own connection. */
  enter(sender: Sender): void {
    this.#waiting.add(sender, this.#now());
    this.#admitNext();
    this.#waiting.noteMemory(sender, this.#lacksMemoryFor(sender), this.#now());
    this.#timer ??= setInterval(() => this.checkTimes(), CHECK_EVERY_MS).unref();
  }

  enterSmall(sender: Sender): void {
    this.#small.set(sender, this.#now());
  }

  /** Done, refused or gone; again is harmless. */
  leave(sender: Sender): void {
    if (this.#small.delete(sender)) return;
    if (this.#waiting.delete(sender) || this.#inside.delete(sender)) this.#admitNext();
    this.#stopTimerWhenIdle();
  }

  /** Ends a sender that is too slow, for its memory. False where there is none. */
  evictOverdue(): boolean {
    return this.#evictSlowest() || this.#evictSmall();
  }

  /** Memory has become free. */
  memoryFreed(): void {
    if (this.#waiting.count > 0) this.#admitNext();
  }

  /** Makes room for those who have waited for too long. Runs by itself while anybody is inside or waits. */
  checkTimes(): void {
    for (const progress of this.#inside.values()) progress.look(CHECK_EVERY_MS);
    this.#admitNext();
    this.#makeRoom();
    this.#refuseForMemory();
    this.#stopTimerWhenIdle();
  }

  #makeRoom(): void {
    const waitingSince = this.#now() - PATIENCE_MS;
    // One for each connection: what is ended for the thousandth of a single one would be ended for nothing.
    for (const sender of [...this.#waiting.next()]) {
      const sinceMs = this.#waiting.sinceMs(sender);
      if (sinceMs === undefined || sinceMs > waitingSince) continue;
      if (this.#evictSlowest(this.#isFullFor(sender) ? sender.connection : undefined)) continue;
      if (this.#lacksMemoryFor(sender) && !this.#evictSmall()) this.#options.memory?.evictOverdue();
    }
  }

  /** Nobody is held for ever by what others have in memory: told to come again, a caller can also ask another replica. */
  #refuseForMemory(): void {
    const now = this.#now();
    for (const sender of this.#waiting.all()) {
      const lackedMs = this.#waiting.noteMemory(sender, this.#lacksMemoryFor(sender), now);
      if (lackedMs < this.#options.readTimeoutMs || !this.#waiting.delete(sender)) continue;
      sender.refusedForMemory();
    }
    this.#admitNext();
  }

  /** Of those who are too slow, of one connection or of all. */
  #evictSlowest(connection?: unknown): boolean {
    const now = this.#now();
    let slowest: Sender | undefined;
    let lowestBytesPerMs = Number.POSITIVE_INFINITY;
    for (const [sender, progress] of this.#inside) {
      if (connection !== undefined && sender.connection !== connection) continue;
      if (!progress.isTooSlow(now, this.#options.readTimeoutMs)) continue;
      const bytesPerMs = progress.bytesPerMs(now);
      if (bytesPerMs >= lowestBytesPerMs) continue;
      slowest = sender;
      lowestBytesPerMs = bytesPerMs;
    }
    if (slowest === undefined) return false;
    this.#inside.delete(slowest);
    slowest.evicted();
    this.#admitNext();
    return true;
  }

  #evictSmall(): boolean {
    for (const [sender, enteredAt] of this.#small) {
      if (enteredAt > this.#now() - this.#options.readTimeoutMs) return false;
      this.#small.delete(sender);
      sender.evicted();
      return true;
    }
    return false;
  }

  #isFullFor({ connection, outstandingBytes }: Sender): boolean {
    const { readsPerConnection, memory } = this.#options;
    const own = [...this.#inside.keys()].filter((sender) => sender.connection === connection);
    if (own.length >= readsPerConnection) return true;
    const promisedBytes = sumOf(own);
    if (memory === undefined || promisedBytes === 0) return false;
    return promisedBytes + outstandingBytes > memory.capacityBytes * CONNECTION_SHARE;
  }

  #lacksMemoryFor({ outstandingBytes }: Sender): boolean {
    const { memory } = this.#options;
    if (memory === undefined) return false;
    const promisedBytes = sumOf(this.#inside.keys());
    // Alone, a message may begin that only fits once others have ended: it would wait for ever for all of them at once.
    const neededBytes =
      promisedBytes > 0
        ? promisedBytes + outstandingBytes
        : Math.min(outstandingBytes, memory.capacityBytes / 2);
    return neededBytes > memory.freeBytes();
  }

  #admitNext(): void {
    for (const sender of this.#waiting.next()) {
      if (this.#inside.size >= this.#options.concurrentReads) break;
      if (this.#isFullFor(sender)) continue;
      // Smaller messages behind it must not take what it waits for.
      if (this.#lacksMemoryFor(sender)) break;
      this.#waiting.take(sender);
      this.#inside.set(sender, new SenderProgress(sender, this.#now()));
      sender.granted();
    }
  }

  #stopTimerWhenIdle(): void {
    if (this.#waiting.count > 0 || this.#inside.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

function sumOf(senders: Iterable<Sender>): number {
  let bytes = 0;
  for (const { outstandingBytes } of senders) bytes += outstandingBytes;
  return bytes;
}
