import { status } from '@grpc/grpc-js';
import { formatTlogProof } from '../note/index.ts';
import type { Receipt } from '../verify/index.ts';
import type { AnchoredLeaf } from './anchored.ts';
import type { Environment } from './environment.ts';
import { GatewayError } from './error.ts';
import type { LeafHandle, LeafHandles } from './leaf-handle.ts';
import type { NotaryLink } from './notary-link.ts';
import type { Outbox } from './outbox.ts';
import { Pace, type PaceOptions } from './pace.ts';
import { codeOf, judge } from './refusal.ts';
import type { Trust } from './trust.ts';

/** Handles looked up in one go. */
const AT_ONCE = 10_000;
const BEFORE_ALL = -1;

export interface ElsewhereOptions {
  readonly clusterId: string;
  readonly outbox: Outbox;
  readonly flushIntervalMs: number;
  readonly attemptTimeoutMs: number;
  readonly retry: PaceOptions;
}

/** Finds out what became of leaves that this process has submitted and another has brought home. */
export class ElsewhereWatch {
  readonly #options: ElsewhereOptions;
  readonly #environment: Environment;
  readonly #handles: LeafHandles;
  readonly #link: NotaryLink;
  readonly #trust: Trust;
  readonly #ending = new AbortController();
  readonly #pace: Pace;
  /** Whose fate nobody knows any more stay in the list: the look goes on behind them. */
  #lookedThrough = BEFORE_ALL;
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
    this.#pace = new Pace(environment, options.retry);
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
    this.#pace.close();
  }

  async #look(): Promise<void> {
    const sequences = this.#handles.oldest(AT_ONCE, this.#lookedThrough);
    this.#lookedThrough = sequences[AT_ONCE - 1] ?? BEFORE_ALL;
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
    const receipt = await this.#receiptOf(anchorId, leafIndex);
    const verdict = this.#trust.acceptReceipt(receipt, { leaf, anchorId, leafIndex });
    const verified = verdict !== undefined;
    return { eventId, anchorId, leafIndex, verified, receipt, toTlogProof: () => formatTlogProof(receipt) };
  }

  /** Tried until it comes: the handle asks once, and a notary that is away says nothing about the leaf. */
  async #receiptOf(anchorId: string, leafIndex: number): Promise<Receipt> {
    const { attemptTimeoutMs: timeoutMs } = this.#options;
    const { signal } = this.#ending;
    let { clusterId } = this.#options;
    for (;;) {
      await this.#pace.turn(signal);
      try {
        const receipt = await this.#link.getReceipt(
          { clusterId, anchorId, leafIndex },
          { timeoutMs, signal },
        );
        this.#pace.succeeded();
        return receipt;
      } catch (error) {
        if (signal.aborted) throw new GatewayError('CLOSED', 'this gateway is closed', { cause: error });
        const judgement = judge(error);
        if (judgement.kind !== 'retry' && judgement.kind !== 'data-loss') {
          this.#pace.abandoned();
          // It may be in the log of a successor, which the outbox does not keep: asked for in any.
          if (codeOf(error) !== status.NOT_FOUND || clusterId === '') throw error;
          clusterId = '';
          continue;
        }
        if (judgement.kind === 'retry' && judgement.isDown) this.#link.drop();
        this.#pace.failed(judgement.delayMs);
      }
    }
  }
}
