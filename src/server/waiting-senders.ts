import type { Sender } from './read-gate.ts';

interface Wait {
  readonly sinceMs: number;
  /** Since when there has been no memory for its message. */
  lacksMemorySinceMs: number | undefined;
}

/**
 * Who waits for a place: connections take turns, and of one connection it is first come, first served. First come, first served
 * over all, one connection that announces hundreds of messages would have all the others wait behind them.
 */
export class WaitingSenders {
  /** The connection whose turn it is first. */
  readonly #turns = new Map<unknown, Map<Sender, Wait>>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(sender: Sender, nowMs: number): void {
    const queue = this.#turns.get(sender.connection) ?? new Map<Sender, Wait>();
    queue.set(sender, { sinceMs: nowMs, lacksMemorySinceMs: undefined });
    this.#turns.set(sender.connection, queue);
    this.#count += 1;
  }

  /** Undefined where it does not wait. */
  sinceMs(sender: Sender): number | undefined {
    return this.#waitOf(sender)?.sinceMs;
  }

  /** Notes whether there is memory for its message now. @returns for how long there has been none, without a break */
  noteMemory(sender: Sender, lacking: boolean, nowMs: number): number {
    const wait = this.#waitOf(sender);
    if (wait === undefined) return 0;
    wait.lacksMemorySinceMs = lacking ? (wait.lacksMemorySinceMs ?? nowMs) : undefined;
    return nowMs - (wait.lacksMemorySinceMs ?? nowMs);
  }

  /** Done waiting; false where it did not wait. */
  delete(sender: Sender): boolean {
    const queue = this.#turns.get(sender.connection);
    if (queue?.delete(sender) !== true) return false;
    if (queue.size === 0) this.#turns.delete(sender.connection);
    this.#count -= 1;
    return true;
  }

  /** Has had its turn: its connection's next one comes after one of each of the others. */
  take(sender: Sender): void {
    this.delete(sender);
    const queue = this.#turns.get(sender.connection);
    if (queue === undefined) return;
    this.#turns.delete(sender.connection);
    this.#turns.set(sender.connection, queue);
  }

  /** Who is next of each connection, in turn. After `take`, the connection comes again at the end. */
  *next(): Iterable<Sender> {
    for (const queue of this.#turns.values()) {
      for (const sender of queue.keys()) {
        yield sender;
        break;
      }
    }
  }

  /** All of them as they are now, in turn. */
  all(): readonly Sender[] {
    return [...this.#turns.values()].flatMap((queue) => [...queue.keys()]);
  }

  #waitOf(sender: Sender): Wait | undefined {
    return this.#turns.get(sender.connection)?.get(sender);
  }
}
