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
  readonly #waiting: Waiting[] = [];
  #usedBytes = 0;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  /** Runs `work` once there is room for its bytes. What is larger than all the room runs alone. */
  async hold<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      await new Promise<void>((start) => this.#waiting.push({ bytes, start }));
    } else {
      this.#usedBytes += bytes;
    }
    try {
      return await work();
    } finally {
      this.#usedBytes -= bytes;
      this.#startNext();
    }
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
