// Brings what is in the outbox to the notary: takes batches, sends each until it has an answer, and acts on that answer.

import { VerificationError } from '../verify/index.ts';
import { AnchoredBatch } from './anchored.ts';
import type { Environment, FaultPoint } from './environment.ts';
import type { AnchorAnswer, AnchorCall, NotaryLink } from './notary-link.ts';
import type { DeadLetter, Outbox, Refusal, SealedBatch } from './outbox.ts';
import { Pace, type PaceOptions } from './pace.ts';
import { type Judgement, judge } from './refusal.ts';
import { halve, leavesOf } from './sealed-batch.ts';
import type { AcceptedAnchor, Trust } from './trust.ts';

export interface DeliveryOptions {
  readonly clusterId: string;
  readonly maxLeaves: number;
  readonly flushIntervalMs: number;
  readonly inFlight: number;
  readonly attemptTimeoutMs: number;
  readonly retry: PaceOptions;
}

/** Told of everything that happens; throws nothing. */
export interface DeliveryObserver {
  /** Rejects where the application could not take it: it is told again. */
  anchored(batch: SealedBatch, anchored: AnchoredBatch): Promise<void>;
  settled(batch: SealedBatch, anchored: AnchoredBatch): void;
  buried(batch: SealedBatch, letter: DeadLetter): void;
  split(): void;
  attempted(isRetry: boolean): void;
  /** a call failed, or an answer was no good: each time */
  failed(status: string, message: string): void;
  /** the notary does not take batches; once until it is back, and once for each other reason */
  away(status: string, message: string): void;
  back(): void;
  /** something else than the notary fails, and is tried again: each time. `isNews` once until it works again */
  hampered(what: string, error: unknown, isNews: boolean): void;
  lied(code: string, message: string, evidence: Evidence | undefined): Promise<void>;
}

/** What a person needs to show that the notary contradicts itself. */
export interface Evidence {
  readonly call: AnchorCall;
  readonly answer: AnchorAnswer | undefined;
  /** the newest verified checkpoint: with several calls in flight another one than this call has presented */
  readonly newestCheckpoint: string;
}

/** The store or the application is tried again after this. */
const OWN_FAILURES: PaceOptions = { minDelayMs: 250, maxDelayMs: 15_000 };

export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #environment: Environment;
  readonly #outbox: Outbox;
  readonly #link: NotaryLink;
  readonly #trust: Trust;
  readonly #observer: DeliveryObserver;

  readonly #ending = new AbortController();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #notaryPace: Pace;
  readonly #outboxPace: Pace;
  /** what was said of this absence; an outage that changes its face with each try is still one */
  readonly #awayBecause = new Set<string>();
  #saidThatItLostData = false;
  #hampered: string | undefined;
  #isStopped = false;
  #running: Promise<void> | undefined;

  /** request_ids under which nothing was ever sent: no answer to them can have been lost */
  readonly #unsent = new Set<string>();
  /** those of them that the outbox has asked for since the last take */
  readonly #minted: string[] = [];

  /** appended since the last seal, as far as this process knows */
  #unsealed = 0;
  /** leaves have waited long enough: a batch need not be full */
  #isDue = false;
  /** batches need not be full until one is taken that is younger than this: what was sealed before, what `drain` asks for */
  #eagerThroughMs: number | undefined;
  /** how often that was asked for: what is asked while a take is under way is not done by it */
  #hurries = 0;
  #cancelTimer: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #isWoken = false;

  constructor(
    options: DeliveryOptions,
    environment: Environment,
    outbox: Outbox,
    link: NotaryLink,
    trust: Trust,
    observer: DeliveryObserver,
  ) {
    this.#options = options;
    this.#environment = environment;
    this.#outbox = outbox;
    this.#link = link;
    this.#trust = trust;
    this.#observer = observer;
    this.#notaryPace = new Pace(environment, options.retry);
    this.#outboxPace = new Pace(environment, OWN_FAILURES);
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** For what the outbox seals. */
  readonly newRequestId = (): string => {
    const requestId = this.#newUnsentId();
    this.#minted.push(requestId);
    return requestId;
  };

  /** Call when the outbox is open. */
  start(): void {
    this.#hurry();
    this.#running = this.#run();
    if (this.#outbox.isShared) this.#arm();
  }

  /** A leaf was appended. */
  added(): void {
    this.#unsealed++;
    if (this.#unsealed === this.#options.maxLeaves) this.#stir();
    this.#arm();
  }

  /** Sends everything that is there, full batches or not. */
  drain(): void {
    this.#hurry();
    this.#stir();
  }

  /** Goes on after an alarm. */
  resume(): void {
    this.#isStopped = false;
    this.drain();
  }

  /** Ends; calls in flight are given up, and their batches put back. */
  async end(): Promise<void> {
    this.#ending.abort();
    this.#cancelTimer?.();
    this.#notaryPace.close();
    this.#outboxPace.close();
    this.#stir();
    await this.#running;
    await Promise.all(this.#inFlight);
  }

  async #run(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const batch = this.#mayTake() ? await this.#take() : undefined;
      if (batch === undefined) {
        await this.#stirred();
        continue;
      }
      const delivered = this.#deliver(batch).finally(() => {
        this.#inFlight.delete(delivered);
        this.#stir();
      });
      this.#inFlight.add(delivered);
    }
  }

  #mayTake(): boolean {
    if (this.#isStopped || this.#inFlight.size >= this.#options.inFlight) return false;
    // One batch is enough to find out whether the notary is back; the others grow meanwhile.
    if (this.#notaryPace.isAway && this.#inFlight.size > 0) return false;
    return this.#isDue || this.#eagerThroughMs !== undefined || this.#unsealed >= this.#options.maxLeaves;
  }

  async #take(): Promise<SealedBatch | undefined> {
    const { maxLeaves } = this.#options;
    const isDue = this.#isDue;
    const eagerThroughMs = this.#eagerThroughMs;
    const hurries = this.#hurries;
    const mayBePartial = isDue || eagerThroughMs !== undefined;
    // Before it looks: what comes while it does is due by a timer of its own.
    this.#isDue = false;
    const batch = await this.#keepTrying('the outbox', () => this.#outbox.take(maxLeaves, mayBePartial));
    // An outbox may ask for more ids than it seals batches.
    for (const minted of this.#minted.splice(0)) if (minted !== batch?.requestId) this.#unsent.delete(minted);
    if (batch === undefined) {
      this.#unsealed = 0;
      if (this.#hurries === hurries) this.#eagerThroughMs = undefined;
      return undefined;
    }
    const leafCount = batch.sequences.length;
    this.#unsealed = Math.max(0, this.#unsealed - leafCount);
    const isPast = eagerThroughMs !== undefined && batch.enqueuedAtMs > eagerThroughMs;
    if (isPast && this.#hurries === hurries) this.#eagerThroughMs = undefined;
    if (isDue && leafCount >= maxLeaves) this.#isDue = true;
    else if (isDue) this.#arm();
    await this.#reached('batch.sealed');
    return batch;
  }

  async #deliver(batch: SealedBatch): Promise<void> {
    const { signal } = this.#ending;
    const wasSentBefore = !this.#unsent.delete(batch.requestId);
    for (let isRetry = false; ; isRetry = true) {
      await this.#notaryPace.turn(signal);
      if (signal.aborted || this.#isStopped) {
        this.#notaryPace.abandoned();
        return this.#putBack(batch);
      }
      const call: AnchorCall = {
        clusterId: this.#options.clusterId,
        packedLeaves: batch.packedLeaves,
        etcdRevision: batch.etcdRevision,
        requestId: batch.requestId,
        knownCheckpoint: this.#trust.knownCheckpoint(),
      };
      this.#observer.attempted(isRetry);
      const outcome = await this.#attempt(call);
      if (signal.aborted || this.#isStopped) {
        this.#notaryPace.abandoned();
        return this.#putBack(batch);
      }
      switch (outcome.kind) {
        case 'accepted':
          this.#takesBatches();
          return this.#bringHome(batch, outcome.anchor);
        case 'lie':
          this.#notaryPace.abandoned();
          await this.#stop(outcome.code, outcome.message, this.#evidence(call, outcome.answer));
          return this.#putBack(batch);
        case 'known-checkpoint-refused':
          this.#notaryPace.abandoned();
          await this.#stop('KNOWN_CHECKPOINT_REFUSED', outcome.message, this.#evidence(call, undefined));
          return this.#putBack(batch);
        case 'too-big':
          if (batch.sequences.length > 1) {
            this.#takesBatches();
            return this.#split(batch);
          }
          this.#goneAway(outcome.refusal.status, outcome.refusal.message);
          this.#notaryPace.failed(undefined);
          break;
        case 'refused':
          this.#takesBatches();
          return this.#refused(batch, outcome, isRetry || wasSentBefore);
        case 'data-loss':
          await this.#dataLost(outcome.message, call);
          this.#goneAway(outcome.status, outcome.message);
          this.#notaryPace.failed(outcome.delayMs);
          break;
        case 'retry':
          this.#goneAway(outcome.status, outcome.message);
          if (outcome.isDown) this.#link.drop();
          this.#notaryPace.failed(outcome.delayMs);
          break;
      }
    }
  }

  async #attempt(call: AnchorCall): Promise<Outcome> {
    const limits = { timeoutMs: this.#options.attemptTimeoutMs, signal: this.#ending.signal };
    let answer: AnchorAnswer | undefined;
    try {
      await this.#reached('call.sending');
      answer = await this.#link.createAnchor(call, limits);
      await this.#reached('call.answered');
      const anchor = await this.#trust.accept(answer, call, limits);
      await this.#reached('answer.verified');
      return { kind: 'accepted', anchor };
    } catch (error) {
      if (!(error instanceof VerificationError)) return judge(error);
      return { kind: 'lie', code: error.code, message: error.message, answer };
    }
  }

  /** The application is told before the outbox forgets: a crash in between tells it twice, and never not at all. */
  async #bringHome(batch: SealedBatch, anchor: AcceptedAnchor): Promise<void> {
    const anchored = new AnchoredBatch(batch, anchor);
    // A pace of its own: that others are told says nothing about a batch that the application cannot take.
    const pace = new Pace(this.#environment, OWN_FAILURES);
    const tell = () => this.#untilEnd(this.#observer.anchored(batch, anchored));
    await this.#keepTrying('onAnchored', tell, pace);
    pace.close();
    if (this.#ending.signal.aborted) return this.#putBack(batch);
    await this.#reached('application.told');
    await this.#keepTrying('the outbox', () => this.#outbox.settle(batch, anchor));
    await this.#reached('batch.settled');
    this.#observer.settled(batch, anchored);
  }

  async #refused(
    batch: SealedBatch,
    { whole, isAboutLeaves, refusal }: Refused,
    wasSent: boolean,
  ): Promise<void> {
    // After a try of unknown outcome, also of an earlier process or before an alarm, the batch may be anchored, and under other
    // request_ids it would be so a second time; but what a leaf is refused for it was always refused for.
    const isAnchoredPerhaps = wasSent && !isAboutLeaves && refusal.status !== 'INVALID_ARGUMENT';
    if (batch.sequences.length === 1 || whole || isAnchoredPerhaps) return this.#bury(batch, refusal);
    return this.#split(batch);
  }

  async #split(batch: SealedBatch): Promise<void> {
    const parts = halve(batch, () => this.#newUnsentId());
    await this.#keepTrying('the outbox', () => this.#outbox.split(batch, parts));
    await this.#reached('batch.split');
    this.#hurry();
    this.#observer.split();
  }

  async #bury(batch: SealedBatch, refusal: Refusal): Promise<void> {
    const wasThere = await this.#keepTrying('the outbox', () => this.#outbox.bury(batch, refusal));
    await this.#reached('batch.buried');
    if (wasThere !== true) return;
    const buriedAtMs = this.#environment.now();
    this.#observer.buried(batch, { id: batch.requestId, refusal, buriedAtMs, leaves: leavesOf(batch) });
  }

  /** What cannot be put back while the gateway ends is still sealed, and found by whoever opens the outbox next. */
  async #putBack(batch: SealedBatch): Promise<void> {
    await this.#keepTrying('the outbox', () => this.#outbox.release(batch));
    this.#hurry();
  }

  async #stop(code: string, message: string, evidence: Evidence): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.#observer.lied(code, message, evidence);
  }

  #evidence(call: AnchorCall, answer: AnchorAnswer | undefined): Evidence {
    return { call, answer, newestCheckpoint: this.#trust.knownCheckpoint() };
  }

  /** The notary says so itself, and guards its log: not ours to stop, but somebody must know. */
  async #dataLost(message: string, call: AnchorCall): Promise<void> {
    // Once until it takes batches again: a message that changes with each try would fill the disk with evidence.
    if (this.#saidThatItLostData) return;
    this.#saidThatItLostData = true;
    await this.#observer.lied('DATA_LOSS', message, this.#evidence(call, undefined));
  }

  #goneAway(status: string, message: string): void {
    this.#observer.failed(status, message);
    if (this.#awayBecause.has(status)) return;
    this.#awayBecause.add(status);
    this.#observer.away(status, message);
  }

  #takesBatches(): void {
    this.#notaryPace.succeeded();
    this.#saidThatItLostData = false;
    if (this.#awayBecause.size === 0) return;
    this.#awayBecause.clear();
    this.#observer.back();
  }

  /** Until it works or the gateway ends. What fails here is ours: the store, the application. */
  async #keepTrying<T>(
    what: string,
    run: () => Promise<T>,
    pace: Pace = this.#outboxPace,
  ): Promise<T | undefined> {
    const { signal } = this.#ending;
    for (let isFirst = true; ; isFirst = false) {
      try {
        const result = await run();
        pace.succeeded();
        if (this.#hampered === what) this.#hampered = undefined;
        return result;
      } catch (error) {
        this.#observer.hampered(what, error, isFirst && this.#hampered !== what);
        this.#hampered = what;
        pace.failed(undefined);
      }
      await pace.turn(signal);
      if (signal.aborted) return undefined;
    }
  }

  /** An application that hangs does not keep the gateway from ending: its batch is told again. */
  #untilEnd(work: Promise<void>): Promise<void> {
    const { signal } = this.#ending;
    return new Promise((resolve, reject) => {
      const end = () => resolve();
      signal.addEventListener('abort', end, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
    });
  }

  #newUnsentId(): string {
    const requestId = this.#environment.newRequestId();
    this.#unsent.add(requestId);
    return requestId;
  }

  #hurry(): void {
    this.#eagerThroughMs = this.#environment.now();
    this.#hurries++;
  }

  #arm(): void {
    if (this.#cancelTimer !== undefined || this.#ending.signal.aborted) return;
    this.#cancelTimer = this.#environment.after(this.#options.flushIntervalMs, () => {
      this.#cancelTimer = undefined;
      this.#isDue = true;
      this.#stir();
      if (this.#outbox.isShared) this.#arm();
    });
  }

  #stir(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  async #stirred(): Promise<void> {
    if (!this.#isWoken) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#isWoken = false;
    this.#wake = undefined;
  }

  async #reached(point: FaultPoint): Promise<void> {
    const { reached } = this.#environment;
    if (reached !== undefined) await reached(point);
  }
}

type Refused = Extract<Judgement, { kind: 'refused' }>;

type Outcome =
  | { readonly kind: 'accepted'; readonly anchor: AcceptedAnchor }
  | {
      readonly kind: 'lie';
      readonly code: string;
      readonly message: string;
      readonly answer: AnchorAnswer | undefined;
    }
  | Judgement;
