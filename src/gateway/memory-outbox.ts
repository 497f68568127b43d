import { GatewayError } from './error.ts';
import { LeafQueue } from './leaf-queue.ts';
import type {
  Backlog,
  BatchAnchor,
  DeadLetter,
  Outbox,
  OutboxContext,
  Refusal,
  SealedBatch,
  UnanchoredLeaf,
} from './outbox.ts';
import { insertByAge, leavesOf } from './sealed-batch.ts';

export interface MemoryOutboxOptions {
  /** Leaves that it holds at most, dead letters included; some 150 bytes each with their handles, and their event ids. Default: 1,000,000. */
  readonly maxLeaves?: number;
}

/**
 * Keeps leaves in memory: nothing is lost while the process lives, and everything that is not anchored is lost with it.
 *
 * @example
 * const gateway = createGateway({ endpoint, clusterId, outbox: memoryOutbox({ maxLeaves: 100_000 }) });
 */
export function memoryOutbox(options: MemoryOutboxOptions = {}): Outbox {
  return new MemoryOutbox(options.maxLeaves ?? 1_000_000);
}

interface Buried {
  readonly batch: SealedBatch;
  readonly letter: DeadLetter;
}

class MemoryOutbox implements Outbox {
  readonly kind = 'memory';
  readonly promise = 'nothing but the life of this process';
  readonly isShared = false;

  readonly #maxLeaves: number;
  readonly #unsealed = new LeafQueue();
  /** sealed, in hand of nobody; by age */
  readonly #waiting: SealedBatch[] = [];
  readonly #inHand = new Map<string, SealedBatch>();
  readonly #dead = new Map<string, Buried>();
  #sealedLeaves = 0;
  #deadLeaves = 0;
  #context: OutboxContext | undefined;

  constructor(maxLeaves: number) {
    if (!Number.isSafeInteger(maxLeaves) || maxLeaves < 1) {
      throw new GatewayError(
        'BAD_OPTIONS',
        `memoryOutbox: maxLeaves must be a whole number from 1, not ${maxLeaves}`,
      );
    }
    this.#maxLeaves = maxLeaves;
  }

  async open(context: OutboxContext): Promise<{ readonly checkpoints: readonly string[] }> {
    if (this.#context !== undefined) {
      throw new GatewayError('OUTBOX_IN_USE', 'this outbox belongs to another gateway already');
    }
    this.#context = context;
    return { checkpoints: [] };
  }

  append(leaf: Uint8Array, eventId: string | undefined): number | Promise<number> {
    if (this.#unsealed.length + this.#sealedLeaves + this.#deadLeaves >= this.#maxLeaves) {
      return Promise.reject(
        new GatewayError('OUTBOX_FULL', `the outbox holds ${this.#maxLeaves} leaves, as many as it may`),
      );
    }
    return this.#unsealed.push(leaf, eventId, this.#opened().now());
  }

  async take(maxLeaves: number, mayBePartial: boolean): Promise<SealedBatch | undefined> {
    const batch = this.#waiting.shift() ?? this.#seal(maxLeaves, mayBePartial);
    if (batch !== undefined) this.#inHand.set(batch.requestId, batch);
    return batch;
  }

  async settle(batch: SealedBatch, _anchor: BatchAnchor): Promise<boolean> {
    if (!this.#inHand.delete(batch.requestId)) return false;
    this.#sealedLeaves -= batch.sequences.length;
    return true;
  }

  async split(batch: SealedBatch, parts: readonly SealedBatch[]): Promise<boolean> {
    if (!this.#inHand.delete(batch.requestId)) return false;
    for (const part of parts) insertByAge(this.#waiting, part);
    return true;
  }

  async bury(batch: SealedBatch, refusal: Refusal): Promise<boolean> {
    if (!this.#inHand.delete(batch.requestId)) return false;
    this.#sealedLeaves -= batch.sequences.length;
    this.#deadLeaves += batch.sequences.length;
    const letter = {
      id: batch.requestId,
      refusal,
      buriedAtMs: this.#opened().now(),
      leaves: leavesOf(batch),
    };
    this.#dead.set(batch.requestId, { batch, letter });
    return true;
  }

  async release(batch: SealedBatch): Promise<void> {
    if (this.#inHand.delete(batch.requestId)) insertByAge(this.#waiting, batch);
  }

  async *deadLetters(): AsyncGenerator<DeadLetter> {
    for (const { letter } of [...this.#dead.values()]) yield letter;
  }

  async discard(id: string): Promise<boolean> {
    return this.#exhume(id) !== undefined;
  }

  async revive(id: string): Promise<boolean> {
    const buried = this.#exhume(id);
    if (buried === undefined) return false;
    this.#sealedLeaves += buried.batch.sequences.length;
    insertByAge(this.#waiting, buried.batch);
    return true;
  }

  async keepEvidence(evidence: string): Promise<string> {
    // There is no other place that would outlive the process.
    this.#opened().log.error({ evidence }, 'evidence against the notary');
    return 'the log of this process';
  }

  async backlog(): Promise<Backlog> {
    const sealed = [...this.#inHand.values(), ...this.#waiting];
    const ages = sealed.map(({ enqueuedAtMs }) => enqueuedAtMs);
    const oldest = this.#unsealed.oldestAtMs;
    if (oldest !== undefined) ages.push(oldest);
    return {
      leaves: this.#unsealed.length + this.#sealedLeaves,
      unsealed: this.#unsealed.length,
      batches: sealed.length,
      deadLeaves: this.#deadLeaves,
      oldestAtMs: ages.length === 0 ? undefined : ages.reduce((least, age) => Math.min(least, age)),
    };
  }

  async *unanchored(): AsyncGenerator<UnanchoredLeaf> {
    const dead = [...this.#dead.values()].map(({ batch }) => ({ batch, state: 'dead' as const }));
    const sealed = [...this.#inHand.values(), ...this.#waiting].map((batch) => ({
      batch,
      state: 'sealed' as const,
    }));
    for (const { batch, state } of [...dead, ...sealed]) {
      for (const leaf of leavesOf(batch)) yield { ...leaf, state, enqueuedAtMs: batch.enqueuedAtMs };
    }
    for (const leaf of this.#unsealed.snapshot()) yield { ...leaf, state: 'queued' };
  }

  async close(): Promise<void> {
    for (const batch of [...this.#inHand.values()]) await this.release(batch);
  }

  #exhume(id: string): Buried | undefined {
    const buried = this.#dead.get(id);
    if (buried === undefined) return undefined;
    this.#dead.delete(id);
    this.#deadLeaves -= buried.batch.sequences.length;
    return buried;
  }

  #seal(maxLeaves: number, mayBePartial: boolean): SealedBatch | undefined {
    const { length } = this.#unsealed;
    if (length === 0 || (length < maxLeaves && !mayBePartial)) return undefined;
    const { newRequestId, etcdRevision } = this.#opened();
    const sealed = {
      requestId: newRequestId(),
      etcdRevision: etcdRevision(),
      ...this.#unsealed.shift(Math.min(length, maxLeaves)),
    };
    this.#sealedLeaves += sealed.sequences.length;
    return sealed;
  }

  #opened(): OutboxContext {
    if (this.#context === undefined) throw new GatewayError('OUTBOX_FAILED', 'this outbox is not open');
    return this.#context;
  }
}
