import type { AnchoredBatch, AnchoredLeaf } from './anchored.ts';
import { GatewayError } from './error.ts';
import type { Refusal, SealedBatch } from './outbox.ts';

/** Of all leaves of a batch alike. */
type Outcome =
  | { readonly leafAt: (leafIndex: number) => AnchoredLeaf | Promise<AnchoredLeaf> }
  | { readonly error: GatewayError };

/** A leaf that the outbox has taken. */
export class LeafHandle {
  /** as given to `submit` */
  readonly eventId: string | undefined;
  /** the outbox's number of the leaf: later ones are higher */
  readonly sequence: number;
  /** @internal */
  readonly leaf: Uint8Array | undefined;

  #outcome: Outcome | undefined;
  #leafIndex = 0;
  #anchored: Promise<AnchoredLeaf> | undefined;
  #tell: ((outcome: Outcome) => void) | undefined;

  /** @internal */
  constructor(sequence: number, eventId: string | undefined, leaf: Uint8Array | undefined) {
    this.sequence = sequence;
    this.eventId = eventId;
    this.leaf = leaf;
  }

  /**
   * Resolves when the notary has anchored the leaf. Whoever does not look at it misses nothing: it raises no unhandled
   * rejection.
   *
   * @throws {GatewayError} DEAD_LETTER, DISABLED; CLOSED when the gateway was closed first: the outbox keeps its promise
   */
  get anchored(): Promise<AnchoredLeaf> {
    // Made when it is asked for: most handles are dropped, and a promise costs more than the leaf.
    if (this.#anchored === undefined) {
      this.#anchored = this.#leaf();
      this.#anchored.catch(() => {});
    }
    return this.#anchored;
  }

  /** @internal */
  end(outcome: Outcome, leafIndex = 0): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#leafIndex = leafIndex;
    this.#tell?.(outcome);
  }

  async #leaf(): Promise<AnchoredLeaf> {
    const outcome =
      this.#outcome ??
      (await new Promise<Outcome>((resolve) => {
        this.#tell = resolve;
      }));
    if ('error' in outcome) throw outcome.error;
    return outcome.leafAt(this.#leafIndex);
  }
}

interface Chunk {
  readonly handles: (LeafHandle | undefined)[];
  open: number;
}

/** Sequences are dense: an entry of a map for each would cost more than its handle. */
const CHUNK_SIZE = 1024;

/** The handles of leaves that this process has given to the outbox and that have no outcome yet. */
export class LeafHandles {
  readonly #chunks = new Map<number, Chunk>();
  /** the newest chunk, and its number: most appends are neighbours */
  #last: Chunk = { handles: [], open: 0 };
  #lastNumber = -1;

  /** @param leaf kept only where another process may bring it home, and its receipt must be verified then */
  add(sequence: number, eventId: string | undefined, leaf?: Uint8Array): LeafHandle {
    const handle = new LeafHandle(sequence, eventId, leaf);
    const chunk = this.#chunkFor(Math.floor(sequence / CHUNK_SIZE));
    chunk.handles[sequence % CHUNK_SIZE] = handle;
    chunk.open++;
    return handle;
  }

  anchored(batch: SealedBatch, anchored: AnchoredBatch): void {
    const outcome: Outcome = { leafAt: (leafIndex) => anchored.leaf(leafIndex) };
    batch.sequences.forEach((sequence, leafIndex) => {
      this.#take(sequence)?.end(outcome, leafIndex);
    });
  }

  refused(batch: SealedBatch, refusal: Refusal): void {
    const outcome: Outcome = { error: deadLetter(refusal) };
    for (const sequence of batch.sequences) this.#take(sequence)?.end(outcome);
  }

  /** Another process brought it home; `fetch` is called when somebody asks. */
  anchoredElsewhere(sequence: number, fetch: (handle: LeafHandle) => Promise<AnchoredLeaf>): void {
    const handle = this.#take(sequence);
    handle?.end({ leafAt: () => fetch(handle) });
  }

  refusedElsewhere(sequence: number, refusal: Refusal): void {
    this.#take(sequence)?.end({ error: deadLetter(refusal) });
  }

  /** The oldest of those without an outcome whose sequence is above `after`, in order. */
  oldest(count: number, after = -1): number[] {
    const sequences: number[] = [];
    const numbers = [...this.#chunks.keys()].filter((number) => (number + 1) * CHUNK_SIZE > after + 1);
    for (const number of numbers.sort((a, b) => a - b)) {
      for (const handle of this.#chunks.get(number)?.handles ?? []) {
        if (handle === undefined || handle.sequence <= after) continue;
        if (sequences.push(handle.sequence) >= count) return sequences;
      }
    }
    return sequences;
  }

  /** No outcome will be heard of. */
  end(error: GatewayError): void {
    for (const { handles } of this.#chunks.values()) {
      for (const handle of handles) handle?.end({ error });
    }
    this.#chunks.clear();
    this.#lastNumber = -1;
  }

  #chunkFor(number: number): Chunk {
    if (number === this.#lastNumber) return this.#last;
    if (this.#last.open === 0) this.#chunks.delete(this.#lastNumber);
    const chunk = this.#chunks.get(number) ?? { handles: [], open: 0 };
    this.#chunks.set(number, chunk);
    this.#last = chunk;
    this.#lastNumber = number;
    return chunk;
  }

  #take(sequence: number): LeafHandle | undefined {
    const number = Math.floor(sequence / CHUNK_SIZE);
    const chunk = this.#chunks.get(number);
    const handle = chunk?.handles[sequence % CHUNK_SIZE];
    if (chunk === undefined || handle === undefined) return undefined;
    chunk.handles[sequence % CHUNK_SIZE] = undefined;
    chunk.open--;
    if (chunk.open === 0 && number !== this.#lastNumber) this.#chunks.delete(number);
    return handle;
  }
}

function deadLetter({ status, reason, message }: Refusal): GatewayError {
  const why = reason === '' ? status : `${status}, ${reason}`;
  return new GatewayError('DEAD_LETTER', `the notary refuses this leaf for good (${why}): ${message}`);
}
