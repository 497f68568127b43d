import { LEAF_BYTES, LEAF_FRAME_BYTES } from './record-frames.ts';
import type { Runs } from './runs.ts';

export const LEAF = { absent: 0, queued: 1, sealed: 2, dead: 3 } as const;
export type LeafState = (typeof LEAF)[keyof typeof LEAF];

const SLAB_LEAVES = 256;
const NO_EVENT_ID = 0xffff;

/** Where an event id is written: its length must be below the mark for none. */
export const MAX_EVENT_ID_BYTES = NO_EVENT_ID - 1;

/** Told which segment a leaf's newest record is in, and when the leaf needs it no more. */
export interface SegmentUse {
  use(segment: number, bytes: number): void;
  drop(segment: number, bytes: number): void;
}

/**
 * The leaves that wait, by sequence, packed in slabs of 256: 51 bytes a leaf and its event id, outside the heap. A slab goes
 * when its last leaf goes.
 */
export class LeafSlabs {
  readonly #slabs = new Map<number, Slab>();
  readonly #counts = [0, 0, 0, 0];
  readonly #use: SegmentUse;
  #end = 0;

  constructor(use: SegmentUse) {
    this.#use = use;
  }

  count(state: LeafState): number {
    return this.#counts[state] ?? 0;
  }

  get total(): number {
    return this.count(LEAF.queued) + this.count(LEAF.sealed) + this.count(LEAF.dead);
  }

  /** One more than the highest sequence there ever was. */
  get end(): number {
    return this.#end;
  }

  /** The lowest sequence that may be there. */
  get begin(): number {
    let lowest = Number.POSITIVE_INFINITY;
    for (const number of this.#slabs.keys()) lowest = Math.min(lowest, number);
    return Math.min(lowest * SLAB_LEAVES, this.#end);
  }

  /** Puts a queued leaf. One that is there stays as it is, but for its newest record, which is in this segment now. */
  put(
    sequence: number,
    enqueuedAtMs: number,
    leaf: Uint8Array,
    eventId: Uint8Array | undefined,
    segment: number,
  ): void {
    const number = Math.floor(sequence / SLAB_LEAVES);
    let slab = this.#slabs.get(number);
    if (slab === undefined) {
      slab = new Slab();
      this.#slabs.set(number, slab);
    }
    const index = sequence % SLAB_LEAVES;
    if (slab.states[index] === LEAF.absent) {
      slab.put(index, enqueuedAtMs, leaf, eventId);
      this.#counts[LEAF.queued] = this.count(LEAF.queued) + 1;
      this.#end = Math.max(this.#end, sequence + 1);
    } else {
      this.#use.drop(slab.segments[index] ?? 0, slab.bytesOf(index));
    }
    slab.segments[index] = segment;
    this.#use.use(segment, slab.bytesOf(index));
  }

  stateOf(sequence: number): LeafState {
    const slab = this.#slabs.get(Math.floor(sequence / SLAB_LEAVES));
    return (slab?.states[sequence % SLAB_LEAVES] ?? LEAF.absent) as LeafState;
  }

  /** Of a leaf that is there. */
  setState(sequence: number, state: Exclude<LeafState, 0>): void {
    const { slab, index } = this.#at(sequence);
    this.#move(slab.states[index] as LeafState, state);
    slab.states[index] = state;
  }

  /** Of a leaf that is there. */
  remove(sequence: number): void {
    const { slab, index } = this.#at(sequence);
    this.#use.drop(slab.segments[index] ?? 0, slab.bytesOf(index));
    this.#move(slab.states[index] as LeafState, LEAF.absent);
    slab.states[index] = LEAF.absent;
    slab.count--;
    if (slab.count === 0) this.#slabs.delete(Math.floor(sequence / SLAB_LEAVES));
  }

  enqueuedAtMs(sequence: number): number {
    const { slab, index } = this.#at(sequence);
    return slab.times[index] ?? 0;
  }

  /** A view, valid until the leaf goes. */
  leaf(sequence: number): Uint8Array {
    const { slab, index } = this.#at(sequence);
    return slab.leaves.subarray(index * LEAF_BYTES, (index + 1) * LEAF_BYTES);
  }

  /** UTF-8; a view, valid until the leaf goes. */
  eventId(sequence: number): Uint8Array | undefined {
    const { slab, index } = this.#at(sequence);
    return slab.eventId(index);
  }

  /** The first sequence from here on whose leaf is in one of two states; `end` where there is none. */
  next(from: number, state: LeafState, orState: LeafState = state): number {
    for (let sequence = from; sequence < this.#end; ) {
      const number = Math.floor(sequence / SLAB_LEAVES);
      const slab = this.#slabs.get(number);
      if (slab === undefined) {
        sequence = (number + 1) * SLAB_LEAVES;
        continue;
      }
      for (let index = sequence % SLAB_LEAVES; index < SLAB_LEAVES; index++, sequence++) {
        const found = slab.states[index];
        if (found === state || found === orState) return sequence;
      }
    }
    return this.#end;
  }

  /** Those of the runs that are there, in their order. */
  *within(runs: Runs): Generator<number> {
    for (let at = 0; at < runs.length; at += 2) {
      const first = runs[at] ?? 0;
      const end = Math.min(first + (runs[at + 1] ?? 0), this.#end);
      for (let sequence = first; sequence < end; ) {
        const slab = this.#slabs.get(Math.floor(sequence / SLAB_LEAVES));
        if (slab === undefined) {
          sequence = (Math.floor(sequence / SLAB_LEAVES) + 1) * SLAB_LEAVES;
        } else {
          if (slab.states[sequence % SLAB_LEAVES] !== LEAF.absent) yield sequence;
          sequence++;
        }
      }
    }
  }

  /** All, oldest first; those that come or go meanwhile may be left out. */
  *all(): Generator<number> {
    const numbers = [...this.#slabs.keys()].sort((a, b) => a - b);
    for (const number of numbers) {
      for (let index = 0; index < SLAB_LEAVES; index++) {
        const slab = this.#slabs.get(number);
        if (slab === undefined) break;
        if (slab.states[index] !== LEAF.absent) yield number * SLAB_LEAVES + index;
      }
    }
  }

  /** Those whose newest record is in this segment. */
  *inSegment(segment: number): Generator<number> {
    for (const [number, slab] of this.#slabs) {
      if (!slab.segments.includes(segment)) continue;
      for (let index = 0; index < SLAB_LEAVES; index++) {
        const isThere = slab.states[index] !== LEAF.absent && slab.segments[index] === segment;
        if (isThere) yield number * SLAB_LEAVES + index;
      }
    }
  }

  #move(from: LeafState, to: LeafState): void {
    this.#counts[from] = this.count(from) - 1;
    this.#counts[to] = this.count(to) + 1;
  }

  #at(sequence: number): { readonly slab: Slab; readonly index: number } {
    const slab = this.#slabs.get(Math.floor(sequence / SLAB_LEAVES));
    if (slab === undefined) throw new RangeError(`there is no leaf ${sequence}`);
    return { slab, index: sequence % SLAB_LEAVES };
  }
}

class Slab {
  readonly #memory = new ArrayBuffer(SLAB_LEAVES * (8 + 4 + 4 + 2 + 1 + LEAF_BYTES));
  readonly times = new Float64Array(this.#memory, 0, SLAB_LEAVES);
  readonly segments = new Uint32Array(this.#memory, SLAB_LEAVES * 8, SLAB_LEAVES);
  readonly #eventIdStarts = new Uint32Array(this.#memory, SLAB_LEAVES * 12, SLAB_LEAVES);
  readonly #eventIdBytes = new Uint16Array(this.#memory, SLAB_LEAVES * 16, SLAB_LEAVES);
  readonly states = new Uint8Array(this.#memory, SLAB_LEAVES * 18, SLAB_LEAVES);
  readonly leaves = new Uint8Array(this.#memory, SLAB_LEAVES * 19);
  #eventIds = new Uint8Array(0);
  #eventIdsEnd = 0;
  count = 0;

  put(index: number, enqueuedAtMs: number, leaf: Uint8Array, eventId: Uint8Array | undefined): void {
    this.count++;
    this.times[index] = enqueuedAtMs;
    this.leaves.set(leaf, index * LEAF_BYTES);
    this.#eventIdStarts[index] = this.#eventIdsEnd;
    this.#eventIdBytes[index] = eventId?.length ?? NO_EVENT_ID;
    if (eventId !== undefined) this.#keep(eventId);
    this.states[index] = LEAF.queued;
    // A full slab keeps no spare room.
    if (this.count === SLAB_LEAVES) this.#eventIds = this.#eventIds.slice(0, this.#eventIdsEnd);
  }

  eventId(index: number): Uint8Array | undefined {
    const bytes = this.#eventIdBytes[index] ?? NO_EVENT_ID;
    if (bytes === NO_EVENT_ID) return undefined;
    const start = this.#eventIdStarts[index] ?? 0;
    return this.#eventIds.subarray(start, start + bytes);
  }

  /** What its record takes in a segment. */
  bytesOf(index: number): number {
    const bytes = this.#eventIdBytes[index] ?? NO_EVENT_ID;
    return LEAF_FRAME_BYTES + (bytes === NO_EVENT_ID ? 0 : bytes);
  }

  #keep(eventId: Uint8Array): void {
    const end = this.#eventIdsEnd + eventId.length;
    if (end > this.#eventIds.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#eventIds.length));
      larger.set(this.#eventIds);
      this.#eventIds = larger;
    }
    this.#eventIds.set(eventId, this.#eventIdsEnd);
    this.#eventIdsEnd = end;
  }
}
