import { StorageError } from '../notary/storage.ts';

interface Waiting {
  readonly bytes: number;
  readonly start: () => void;
}

/**
 * Bounds the bytes of big statements that are sent at once, first come, first served. The driver copies the values of a
 * statement twice before it sends them, outside of the memory budget of the edge; and a connection that takes in a big batch is
 * one that small anchors wait for.
 */
export class BytesUnderWay {
  readonly #capacityBytes: number;
  readonly #patienceMs: number;
  readonly #waiting: Waiting[] = [];
  #usedBytes = 0;

  /** @param patienceMs how long a statement waits for room */
  constructor(capacityBytes: number, patienceMs: number) {
    this.#capacityBytes = capacityBytes;
    this.#patienceMs = patienceMs;
  }

  /**
   * Runs `work` once there is room for its bytes. What is larger than all the room runs alone.
   *
   * Whoever waits holds a request in memory, so that waiting has an end.
   *
   * @throws StorageError UNAVAILABLE where no room came in time; `signal.reason` where it aborted before. `work` did not run.
   */
  async hold<T>(bytes: number, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    if (this.#waiting.length > 0 || !this.#fits(bytes)) await this.#wait(bytes, signal);
    else this.#usedBytes += bytes;
    try {
      return await work();
    } finally {
      this.#usedBytes -= bytes;
      this.#startNext();
    }
  }

  /** Resolves with the bytes taken. */
  #wait(bytes: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = (reason: unknown) => {
      end();
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      reject(reason);
      // A smaller one behind it may fit.
      this.#startNext();
    };
    const onAbort = () => giveUp(signal.reason);
    const timer = setTimeout(() => {
      giveUp(new StorageError('UNAVAILABLE', `other batches were being stored for ${this.#patienceMs} ms`));
    }, this.#patienceMs);
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    const waiting: Waiting = {
      bytes,
      start: () => {
        end();
        resolve();
      },
    };
    signal.addEventListener('abort', onAbort);
    this.#waiting.push(waiting);
    return promise;
  }

  #startNext(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#usedBytes += next.bytes;
      next.start();
    }
  }

  #fits(bytes: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + bytes <= this.#capacityBytes;
  }
}
