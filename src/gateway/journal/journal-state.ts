import { parseCheckpoint } from '../../note/index.ts';
import type { Backlog, Refusal } from '../outbox.ts';
import { LEAF, LeafSlabs, type SegmentUse } from './leaf-slabs.ts';
import type { RecordVisitor } from './read-record.ts';
import type { BatchRecord } from './record-frames.ts';
import { countOf, type Runs, runsOf } from './runs.ts';

/** A batch that waits, is in hand, or is dead. */
export interface JournalBatch extends BatchRecord {
  isInHand: boolean;
  /** of dead ones */
  readonly burial: { readonly refusal: Refusal; readonly atMs: number } | undefined;
  /** where its newest record is */
  segment: number;
  /** about what that takes there */
  readonly recordBytes: number;
  /** an operation on it is being written */
  busy: Promise<void> | undefined;
}

interface KeptCheckpoint {
  readonly size: number;
  readonly note: string;
  segment: number;
}

/** A record of a batch without refusal, of few runs. */
const BATCH_BYTES = 80;

/**
 * What the records of a journal add up to. Records are told once they are on disk, by the same calls while the process runs
 * and when its files are read again: so a replay gives exactly the state that there was.
 */
export class JournalState implements RecordVisitor {
  readonly leaves: LeafSlabs;
  readonly batches = new Map<string, JournalBatch>();
  readonly checkpoints = new Map<string, KeptCheckpoint>();
  readonly #use: SegmentUse;
  /** sealed, in hand of nobody, by first sequence */
  #ready: JournalBatch[] = [];
  #deadBatches = 0;
  #queuedFrom = 0;
  #waitingFrom = 0;
  /** The segment whose records are told. */
  segment = 0;
  nextSequence = 0;

  constructor(use: SegmentUse) {
    this.#use = use;
    this.leaves = new LeafSlabs(use);
  }

  leaf(sequence: number, enqueuedAtMs: number, leaf: Uint8Array, eventId: Uint8Array | undefined): void {
    this.leaves.put(sequence, enqueuedAtMs, leaf, eventId, this.segment);
    this.nextSequence = Math.max(this.nextSequence, sequence + 1);
  }

  sealed(batch: BatchRecord): void {
    const known = this.batches.get(batch.requestId);
    if (known === undefined) this.#add(batch, undefined);
    else this.#moved(known);
  }

  settled({ requestId, runs }: BatchRecord, checkpoint: string | undefined): void {
    for (const sequence of this.leaves.within(runs)) this.leaves.remove(sequence);
    this.#remove(requestId);
    this.#sequencesSeen(runs);
    if (checkpoint !== undefined) this.checkpoint(checkpoint);
  }

  split(requestId: string, parts: readonly BatchRecord[]): void {
    this.#remove(requestId);
    for (const part of parts) this.#add(part, undefined);
  }

  buried(batch: BatchRecord, refusal: Refusal, buriedAtMs: number): void {
    const known = this.batches.get(batch.requestId);
    if (known?.burial === undefined) this.#add(batch, { refusal, atMs: buriedAtMs });
    else this.#moved(known);
  }

  revived(batch: BatchRecord): void {
    this.#add(batch, undefined);
    this.#waitingFrom = Math.min(this.#waitingFrom, batch.runs[0] ?? 0);
  }

  checkpoint(note: string): void {
    const read = originAndSize(note);
    if (read === undefined) return;
    const known = this.checkpoints.get(read.origin);
    if (known !== undefined && known.size > read.size) return;
    if (known !== undefined) this.#use.drop(known.segment, known.note.length);
    this.#use.use(this.segment, note.length);
    this.checkpoints.set(read.origin, { size: read.size, note, segment: this.segment });
  }

  /**
   * After the last record of a replay: leaves belong to the batches that name them. Where a record was lost, a batch may name
   * leaves that are gone or that a later batch has, and is not what was sealed any more.
   *
   * @returns those, with the members that are left
   */
  finishReplay(): { readonly batch: JournalBatch; readonly left: Runs }[] {
    const { leaves } = this;
    this.#queuedFrom = leaves.begin;
    this.#waitingFrom = leaves.begin;
    for (const sequence of leaves.all()) leaves.setState(sequence, LEAF.queued);
    const broken: { readonly batch: JournalBatch; readonly left: Runs }[] = [];
    // The newest first: what it names is its own.
    for (const batch of [...this.batches.values()].reverse()) {
      const left: number[] = [];
      for (const sequence of leaves.within(batch.runs)) {
        if (leaves.stateOf(sequence) === LEAF.queued) left.push(sequence);
      }
      for (const sequence of left) leaves.setState(sequence, batch.burial ? LEAF.dead : LEAF.sealed);
      if (left.length < countOf(batch.runs)) broken.push({ batch, left: runsOf(left) });
    }
    this.#ready = [...this.batches.values()].filter(({ burial }) => burial === undefined);
    this.#ready.sort((a, b) => firstOf(a) - firstOf(b));
    return broken.reverse();
  }

  /** The oldest batch that nobody has in hand; it is in hand then. */
  takeReady(): JournalBatch | undefined {
    const at = this.#ready.findIndex(({ busy }) => busy === undefined);
    if (at === -1) return undefined;
    const [batch] = this.#ready.splice(at, 1);
    if (batch !== undefined) batch.isInHand = true;
    return batch;
  }

  takeInHand(requestId: string): JournalBatch | undefined {
    const batch = this.batches.get(requestId);
    if (batch === undefined) return undefined;
    this.#leaveReady(batch);
    batch.isInHand = true;
    return batch;
  }

  putBack(requestId: string): void {
    const batch = this.batches.get(requestId);
    if (batch === undefined || batch.burial !== undefined || !batch.isInHand) return;
    batch.isInHand = false;
    this.#enterReady(batch);
  }

  /** The oldest leaves that are in no batch. */
  oldestQueued(maxLeaves: number): Runs {
    const sequences: number[] = [];
    const { leaves } = this;
    let sequence = leaves.next(this.#queuedFrom, LEAF.queued);
    this.#queuedFrom = sequence;
    for (; sequence < leaves.end && sequences.length < maxLeaves; ) {
      sequences.push(sequence);
      sequence = leaves.next(sequence + 1, LEAF.queued);
    }
    return runsOf(sequences);
  }

  backlog(): Backlog {
    const { leaves } = this;
    const unsealed = leaves.count(LEAF.queued);
    const waiting = unsealed + leaves.count(LEAF.sealed);
    this.#waitingFrom = leaves.next(this.#waitingFrom, LEAF.queued, LEAF.sealed);
    return {
      leaves: waiting,
      unsealed,
      batches: this.batches.size - this.#deadBatches,
      deadLeaves: leaves.count(LEAF.dead),
      oldestAtMs: waiting === 0 ? undefined : leaves.enqueuedAtMs(this.#waitingFrom),
    };
  }

  /** Everything whose newest record is in this segment, told again to whoever writes it down elsewhere. */
  *recordsIn(segment: number): Generator<(visitor: RecordVisitor) => void> {
    const { leaves } = this;
    for (const sequence of leaves.inSegment(segment)) {
      yield (visitor) =>
        visitor.leaf(
          sequence,
          leaves.enqueuedAtMs(sequence),
          leaves.leaf(sequence),
          leaves.eventId(sequence),
        );
    }
    for (const batch of this.batches.values()) {
      if (batch.segment !== segment) continue;
      const { burial } = batch;
      yield (visitor) =>
        burial ? visitor.buried(batch, burial.refusal, burial.atMs) : visitor.sealed(batch);
    }
    for (const checkpoint of this.checkpoints.values()) {
      if (checkpoint.segment === segment) yield (visitor) => visitor.checkpoint(checkpoint.note);
    }
  }

  #add(record: BatchRecord, burial: JournalBatch['burial']): void {
    this.#remove(record.requestId);
    const { requestId, etcdRevision, runs } = record;
    const { segment } = this;
    const batch: JournalBatch = {
      requestId,
      etcdRevision,
      runs,
      isInHand: false,
      burial,
      segment,
      recordBytes: BATCH_BYTES + 4 * runs.length + (burial === undefined ? 0 : bytesOf(burial.refusal)),
      busy: undefined,
    };
    this.batches.set(requestId, batch);
    this.#use.use(segment, batch.recordBytes);
    this.#sequencesSeen(runs);
    for (const sequence of this.leaves.within(runs)) {
      this.leaves.setState(sequence, burial === undefined ? LEAF.sealed : LEAF.dead);
    }
    if (burial === undefined) this.#enterReady(batch);
    else this.#deadBatches++;
  }

  /** Its leaves stay: what follows says where they belong. */
  #remove(requestId: string): void {
    const batch = this.batches.get(requestId);
    if (batch === undefined) return;
    this.batches.delete(requestId);
    this.#use.drop(batch.segment, batch.recordBytes);
    if (batch.burial !== undefined) this.#deadBatches--;
    else this.#leaveReady(batch);
  }

  #moved(batch: JournalBatch): void {
    this.#use.drop(batch.segment, batch.recordBytes);
    batch.segment = this.segment;
    this.#use.use(this.segment, batch.recordBytes);
  }

  #sequencesSeen(runs: Runs): void {
    for (let at = 0; at < runs.length; at += 2) {
      this.nextSequence = Math.max(this.nextSequence, (runs[at] ?? 0) + (runs[at + 1] ?? 0));
    }
  }

  #enterReady(batch: JournalBatch): void {
    let [low, high] = [0, this.#ready.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#ready[middle];
      if (other !== undefined && firstOf(other) <= firstOf(batch)) low = middle + 1;
      else high = middle;
    }
    this.#ready.splice(low, 0, batch);
  }

  #leaveReady(batch: JournalBatch): void {
    const at = this.#ready.indexOf(batch);
    if (at !== -1) this.#ready.splice(at, 1);
  }
}

function firstOf({ runs }: BatchRecord): number {
  return runs[0] ?? 0;
}

function bytesOf({ status, reason, message }: Refusal): number {
  return status.length + reason.length + message.length;
}

function originAndSize(note: string): { readonly origin: string; readonly size: number } | undefined {
  try {
    return parseCheckpoint(note).checkpoint;
  } catch {
    return undefined; // Not one that a verifier made: there is nothing to present to the notary.
  }
}
