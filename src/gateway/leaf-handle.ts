import type { AnchoredBatch, AnchoredLeaf } from './anchored.ts';
import { GatewayError } from './error.ts';
import type { Refusal, SealedBatch } from './outbox.ts';

type Outcome =
  | { readonly leaf: () => AnchoredLeaf | Promise<AnchoredLeaf> }
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
      this.#anchored = this.#outcome === undefined ? this.#later() : settledPromise(this.#outcome);
      this.#anchored.catch(() => {});
    }
    return this.#anchored;
  }

  /** @internal */
  end(outcome: Outcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#tell?.(outcome);
  }

  async #later(): Promise<AnchoredLeaf> {
    const outcome = await new Promise<Outcome>((resolve) => {
      this.#tell = resolve;
    });
    return settledPromise(outcome);
  }
}

async function settledPromise(outcome: Outcome): Promise<AnchoredLeaf> {
  if ('error' in outcome) throw outcome.error;
  return outcome.leaf();
}

/** The handles of leaves that this process has given to the outbox and that have no outcome yet. */
export class LeafHandles {
  readonly #open = new Map<number, LeafHandle>();

  /** @param leaf kept only where another process may bring it home, and its receipt must be verified then */
  add(sequence: number, eventId: string | undefined, leaf?: Uint8Array): LeafHandle {
    const handle = new LeafHandle(sequence, eventId, leaf);
    this.#open.set(sequence, handle);
    return handle;
  }

  anchored(batch: SealedBatch, anchored: AnchoredBatch): void {
    if (this.#open.size === 0) return;
    for (const [leafIndex, sequence] of batch.sequences.entries()) {
      this.#end(sequence, { leaf: () => anchored.leaf(leafIndex) });
    }
  }

  refused(batch: SealedBatch, refusal: Refusal): void {
    for (const sequence of batch.sequences) this.#end(sequence, { error: deadLetter(refusal) });
  }

  /** Another process brought it home; `fetch` is called when somebody asks. */
  anchoredElsewhere(sequence: number, fetch: (handle: LeafHandle) => Promise<AnchoredLeaf>): void {
    const handle = this.#open.get(sequence);
    if (handle !== undefined) this.#end(sequence, { leaf: () => fetch(handle) });
  }

  refusedElsewhere(sequence: number, refusal: Refusal): void {
    this.#end(sequence, { error: deadLetter(refusal) });
  }

  /** The oldest of those without an outcome. */
  oldest(count: number): number[] {
    const sequences: number[] = [];
    for (const sequence of this.#open.keys()) {
      if (sequences.push(sequence) >= count) break;
    }
    return sequences;
  }

  /** No outcome will be heard of. */
  end(error: GatewayError): void {
    for (const sequence of [...this.#open.keys()]) this.#end(sequence, { error });
  }

  #end(sequence: number, outcome: Outcome): void {
    const handle = this.#open.get(sequence);
    if (handle === undefined) return;
    this.#open.delete(sequence);
    handle.end(outcome);
  }
}

function deadLetter({ status, reason, message }: Refusal): GatewayError {
  const why = reason === '' ? status : `${status}, ${reason}`;
  return new GatewayError('DEAD_LETTER', `the notary refuses this leaf for good (${why}): ${message}`);
}
