import { formatTlogProof } from '../note/index.ts';
import type { AnchoredLeaf } from './anchored.ts';
import type { Environment } from './environment.ts';
import type { LeafHandle, LeafHandles } from './leaf-handle.ts';
import type { NotaryLink } from './notary-link.ts';
import type { Outbox } from './outbox.ts';
import type { Trust } from './trust.ts';

/** Handles looked up in one go. */
const AT_ONCE = 10_000;

export interface ElsewhereOptions {
  readonly clusterId: string;
  readonly outbox: Outbox;
  readonly flushIntervalMs: number;
  readonly attemptTimeoutMs: number;
}

/** Finds out what became of leaves that this process has submitted and another has brought home. */
export class ElsewhereWatch {
  readonly #options: ElsewhereOptions;
  readonly #environment: Environment;
  readonly #handles: LeafHandles;
  readonly #link: NotaryLink;
  readonly #trust: Trust;
  readonly #ending = new AbortController();
  #cancelTimer: (() => void) | undefined;

  constructor(
    options: ElsewhereOptions,
    environment: Environment,
    handles: LeafHandles,
    link: NotaryLink,
    trust: Trust,
  ) {
    this.#options = options;
    this.#environment = environment;
    this.#handles = handles;
    this.#link = link;
    this.#trust = trust;
  }

  start(): void {
    if (this.#options.outbox.settled === undefined || this.#ending.signal.aborted) return;
    this.#cancelTimer = this.#environment.after(this.#options.flushIntervalMs, () => {
      void this.#look().finally(() => this.start());
    });
  }

  end(): void {
    this.#ending.abort();
    this.#cancelTimer?.();
  }

  async #look(): Promise<void> {
    const sequences = this.#handles.oldest(AT_ONCE);
    if (sequences.length === 0) return;
    try {
      const settled = (await this.#options.outbox.settled?.(sequences)) ?? new Map();
      for (const [sequence, outcome] of settled) {
        if ('refusal' in outcome) this.#handles.refusedElsewhere(sequence, outcome.refusal);
        else this.#handles.anchoredElsewhere(sequence, (handle) => this.#fetch(handle, outcome));
      }
    } catch {
      // The outbox is away: whoever takes from it says so; here the next look finds the same.
    }
  }

  async #fetch(
    { eventId, leaf = new Uint8Array() }: LeafHandle,
    { anchorId, leafIndex }: { readonly anchorId: string; readonly leafIndex: number },
  ): Promise<AnchoredLeaf> {
    const { clusterId, attemptTimeoutMs } = this.#options;
    const receipt = await this.#link.getReceipt(
      { clusterId, anchorId, leafIndex },
      { timeoutMs: attemptTimeoutMs, signal: this.#ending.signal },
    );
    const verdict = this.#trust.acceptReceipt(receipt, { leaf, anchorId, leafIndex });
    const verified = verdict !== undefined;
    return { eventId, anchorId, leafIndex, verified, receipt, toTlogProof: () => formatTlogProof(receipt) };
  }
}
