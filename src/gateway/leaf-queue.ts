const LEAF_SIZE = 32;
const SLAB_LEAVES = 1024;

/** What is taken from the front of a {@link LeafQueue}. */
export interface LeafRun {
  /** N * 32 bytes */
  readonly packedLeaves: Uint8Array;
  readonly sequences: number[];
  readonly eventIds: (string | undefined)[];
  /** of the first of them */
  readonly enqueuedAtMs: number;
}

/** A thousand leaves in one piece: an object for each would cost more than the leaf. */
class Slab {
  readonly leaves = new Uint8Array(SLAB_LEAVES * LEAF_SIZE);
  readonly times = new Float64Array(SLAB_LEAVES);
  readonly eventIds: (string | undefined)[] = [];
}

/** Leaves in the order in which they came, numbered from 1. */
export class LeafQueue {
  readonly #slabs: Slab[] = [];
  /** leaves of the first slab that are gone */
  #gone = 0;
  #length = 0;
  #nextSequence = 1;

  get length(): number {
    return this.#length;
  }

  get oldestAtMs(): number | undefined {
    return this.#length === 0 ? undefined : this.#slabs[0]?.times[this.#gone];
  }

  /** @param leaf 32 bytes, copied @returns its sequence */
  push(leaf: Uint8Array, eventId: string | undefined, atMs: number): number {
    const place = (this.#gone + this.#length) % SLAB_LEAVES;
    let slab = this.#slabs.at(-1);
    if (slab === undefined || place === 0) {
      slab = new Slab();
      this.#slabs.push(slab);
    }
    slab.leaves.set(leaf, place * LEAF_SIZE);
    slab.times[place] = atMs;
    slab.eventIds.push(eventId);
    this.#length++;
    return this.#nextSequence++;
  }

  /** @param count 1 to `length` */
  shift(count: number): LeafRun {
    const enqueuedAtMs = this.oldestAtMs ?? 0;
    const packedLeaves = new Uint8Array(count * LEAF_SIZE);
    const eventIds: (string | undefined)[] = [];
    const first = this.#nextSequence - this.#length;
    for (let taken = 0; taken < count; ) {
      const slab = this.#slabs[0];
      if (slab === undefined) throw new RangeError(`${count} leaves were asked for, ${taken} are there`);
      const some = Math.min(count - taken, SLAB_LEAVES - this.#gone);
      packedLeaves.set(
        slab.leaves.subarray(this.#gone * LEAF_SIZE, (this.#gone + some) * LEAF_SIZE),
        taken * LEAF_SIZE,
      );
      for (let i = this.#gone; i < this.#gone + some; i++) eventIds.push(slab.eventIds[i]);
      taken += some;
      this.#length -= some;
      this.#gone += some;
      if (this.#gone === SLAB_LEAVES || this.#length === 0) this.#dropFirst();
    }
    return {
      packedLeaves,
      sequences: Array.from({ length: count }, (_, i) => first + i),
      eventIds,
      enqueuedAtMs,
    };
  }

  /** A copy of what is there now. */
  snapshot(): { leaf: Uint8Array; eventId: string | undefined; enqueuedAtMs: number }[] {
    return Array.from({ length: this.#length }, (_, i) => {
      const place = this.#gone + i;
      const slab = this.#slabs[Math.floor(place / SLAB_LEAVES)];
      const at = place % SLAB_LEAVES;
      return {
        leaf: slab?.leaves.slice(at * LEAF_SIZE, (at + 1) * LEAF_SIZE) ?? new Uint8Array(LEAF_SIZE),
        eventId: slab?.eventIds[at],
        enqueuedAtMs: slab?.times[at] ?? 0,
      };
    });
  }

  #dropFirst(): void {
    this.#slabs.shift();
    this.#gone = 0;
  }
}
