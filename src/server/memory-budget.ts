/** Bytes of requests, and of big answers that nobody reads, that all calls together may hold. */
export class MemoryBudget {
  readonly capacityBytes: number;
  #usedBytes = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  /** Takes all of the bytes or, answering false, none. Fewer than none are given back. */
  reserve(bytes: number): boolean {
    if (bytes > 0 && this.#usedBytes + bytes > this.capacityBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  /** Big messages leave a sixteenth to small ones. */
  get freeForBigBytes(): number {
    return this.capacityBytes * (1 - 1 / 16) - this.#usedBytes;
  }

  get full(): boolean {
    return this.#usedBytes >= this.capacityBytes;
  }

  /** Takes bytes that are in memory already, whether or not they fit. */
  charge(bytes: number): void {
    this.#usedBytes += bytes;
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
  }
}
