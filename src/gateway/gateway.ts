import type { Settings } from './check-options.ts';
import { Delivery, type DeliveryObserver } from './delivery.ts';
import { ElsewhereWatch } from './elsewhere-watch.ts';
import type { Environment } from './environment.ts';
import { GatewayError } from './error.ts';
import { GrpcLink } from './grpc-link.ts';
import { type LeafHandle, LeafHandles } from './leaf-handle.ts';
import { observe } from './metrics.ts';
import type { NotaryLink } from './notary-link.ts';
import type { Backlog, DeadLetter, OutboxContext, UnanchoredLeaf } from './outbox.ts';
import { prometheusText } from './prometheus.ts';
import { type GatewayEvents, Reporter } from './reporter.ts';
import { Room } from './room.ts';
import type { GatewayStats } from './stats.ts';
import { checkSubmission, type Submission } from './submission.ts';
import { Tally } from './tally.ts';
import { Trust } from './trust.ts';

export interface Deadline {
  /** Default: 10,000 for `close`, none for `flush`. */
  readonly timeoutMs?: number | undefined;
}

/** What is left in the outbox. */
export interface Leftover {
  /** 0: everything is anchored or refused; undefined: the outbox cannot say, which only `close` takes for an answer */
  readonly leaves: number | undefined;
  /** milliseconds since the epoch */
  readonly oldestAtMs: number | undefined;
}

const CLOSE_TIMEOUT_MS = 10_000;
/** How often a full outbox is looked at while somebody waits for room. */
const LOOK_FOR_ROOM_MS = 1_000;
/** Waits between tries to open the outbox. */
const FIRST_REOPENING_MS = 250;
const LAST_REOPENING_MS = 15_000;

/** Brings the digests of events to a notary, whatever happens. Made by {@link createGateway}. */
export class Gateway implements AsyncDisposable {
  readonly #settings: Settings;
  readonly #environment: Environment;
  readonly #handles = new LeafHandles();
  readonly #tally = new Tally();
  readonly #reporter: Reporter;
  readonly #room: Room;
  readonly #link: NotaryLink | undefined;
  readonly #delivery: Delivery | undefined;
  readonly #elsewhere: ElsewhereWatch | undefined;
  /** the newest try to open the outbox */
  #opened: Promise<void> = Promise.resolve();
  #cancelReopening: (() => void) | undefined;
  #saidOfOpening: string | undefined;
  readonly #keepsLeaves: boolean;
  readonly #endMetrics: () => void;
  #isOpen = false;
  /** the newest `submit` that the outbox has not answered, or one that it has */
  #newestSubmit: Promise<unknown> = Promise.resolve();
  #isEnded = false;
  #closing: Promise<Leftover> | undefined;

  /** @internal */
  constructor(settings: Settings, environment: Environment) {
    this.#settings = settings;
    this.#keepsLeaves = settings.outbox.settled !== undefined;
    this.#environment = environment;
    this.#reporter = new Reporter(settings, environment, this.#tally);
    this.#room = new Room(
      (leaf, eventId) => settings.outbox.append(leaf, eventId),
      settings.blocksWhenFull,
      (run) => environment.after(LOOK_FOR_ROOM_MS, run),
    );
    const { clusterId, log, meter } = settings;
    this.#endMetrics = meter === undefined ? () => {} : observe(meter, () => this.#measured());
    if (clusterId === undefined) {
      log.info({}, 'anchoring is disabled: clusterId is empty');
      settings.outbox.disable?.();
      return;
    }
    const link = environment.connect?.() ?? new GrpcLink(settings);
    const reaching = { ...settings, clusterId, retry: settings };
    const trust = new Trust({ clusterId, keys: settings.keys, link });
    const delivery = new Delivery(reaching, environment, settings.outbox, link, trust, this.#observer());
    this.#link = link;
    this.#delivery = delivery;
    this.#elsewhere = new ElsewhereWatch(reaching, environment, this.#handles, link, trust);
    this.#tryToOpen(FIRST_REOPENING_MS, () => this.#open(clusterId, trust, delivery));
  }

  /**
   * Resolves when the outbox is open. `submit` waits for it by itself; a program that wants to fail at start awaits it. Where the
   * outbox cannot be opened it is tried again, and `submit` rejects until it can.
   *
   * @throws {GatewayError} OUTBOX_IN_USE, OUTBOX_FAILED; VerificationError where the kept checkpoint is not of the pinned keys
   */
  get ready(): Promise<void> {
    return this.#opened;
  }

  /**
   * Takes the digest of an event. Resolves when it is as safe as the outbox promises, never waits for the network of the
   * notary, and never fails because the notary is away.
   *
   * @param submission 32 bytes (copied), with or without an id of at most 1,024 characters that comes back with the anchor
   * @throws {GatewayError} BAD_EVENT, OUTBOX_FULL, OUTBOX_FAILED, OUTBOX_IN_USE, CLOSED: the leaf was not taken
   */
  submit(submission: Submission): Promise<LeafHandle> {
    try {
      return this.#submit(submission);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Sends what is there without waiting for full batches, and waits until everything that was submitted before the call is
   * anchored or refused, the time is up, or an alarm stops submissions.
   *
   * @returns what is left, leaves that came later included
   * @throws {GatewayError} OUTBOX_FAILED, OUTBOX_IN_USE; CLOSED where the gateway is closed before that
   */
  async flush({ timeoutMs }: Deadline = {}): Promise<Leftover> {
    if (this.#delivery === undefined) return { leaves: 0, oldestAtMs: undefined };
    await this.#opened;
    const delivery = this.#delivery;
    const { outbox } = this.#settings;
    let throughMs = this.#environment.now();
    let isTaken = false;
    const taken = () => {
      isTaken = true;
      throughMs = this.#environment.now();
      this.#tally.changed();
    };
    // Those before it are answered before it, whether they were waiting for a disk or for room.
    void this.#newestSubmit.then(taken, taken);
    let isUp = false;
    const cancel =
      timeoutMs === undefined
        ? () => {}
        : this.#environment.after(timeoutMs, () => {
            isUp = true;
            this.#tally.changed();
          });
    try {
      for (;;) {
        if (this.#isEnded) throw closed();
        delivery.drain();
        const change = this.#tally.nextChange();
        const { leaves, oldestAtMs } = await outbox.backlog();
        const isDone = isTaken && (oldestAtMs === undefined || oldestAtMs > throughMs);
        if (isDone || isUp || delivery.isStopped) return { leaves, oldestAtMs };
        // Others settle, too, and say nothing.
        const poll = outbox.isShared
          ? this.#environment.after(this.#settings.flushIntervalMs, () => this.#tally.changed())
          : () => {};
        await change;
        poll();
      }
    } finally {
      cancel();
    }
  }

  /**
   * Takes no more leaves, sends what is there as long as the time allows, and lets go of everything. What is left stays in an
   * outbox that outlives the process, and is sent by the next one; handles without an outcome reject with CLOSED.
   */
  close({ timeoutMs = CLOSE_TIMEOUT_MS }: Deadline = {}): Promise<Leftover> {
    this.#closing ??= this.#close(timeoutMs);
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Which leaves have no anchor, oldest first: those that wait, and those that were refused. */
  async *reconcile(): AsyncGenerator<UnanchoredLeaf> {
    if (this.#delivery === undefined) return;
    await this.#opened;
    yield* this.#settings.outbox.unanchored();
  }

  /** What the notary refused for good, oldest first. */
  async *deadLetters(): AsyncGenerator<DeadLetter> {
    if (this.#delivery === undefined) return;
    await this.#opened;
    yield* this.#settings.outbox.deadLetters();
  }

  /**
   * Sends dead letters again, as the batches that they were.
   *
   * @param id of one of them; default: all
   * @returns how many went back into the outbox
   */
  async replay(id?: string): Promise<number> {
    if (this.#delivery === undefined) return 0;
    await this.#opened;
    const ids = id === undefined ? [] : [id];
    if (id === undefined) for await (const letter of this.deadLetters()) ids.push(letter.id);
    let revived = 0;
    for (const each of ids) if (await this.#settings.outbox.revive(each)) revived++;
    this.#delivery.drain();
    return revived;
  }

  /**
   * Forgets a dead letter for good, so that it takes no room in the outbox: its events stay without an anchor.
   *
   * @returns whether it was there
   */
  async discard(id: string): Promise<boolean> {
    if (this.#delivery === undefined) return false;
    await this.#opened;
    const wasThere = await this.#settings.outbox.discard(id);
    if (wasThere) this.#room.freed();
    return wasThere;
  }

  /** Goes on after an alarm: call it when the cause is understood. What was not anchored is sent again, as it was. */
  resume(): void {
    this.#delivery?.resume();
  }

  /**
   * Where the gateway stands. While the outbox is not open nothing is queued, as far as is known.
   *
   * @throws {GatewayError} OUTBOX_FAILED
   */
  async stats(): Promise<GatewayStats> {
    const { outbox } = this.#settings;
    const isReadable = this.#isOpen && this.#closing === undefined;
    const backlog: Backlog = isReadable ? await outbox.backlog() : NOTHING;
    return this.#statsWith(backlog);
  }

  /**
   * The same numbers as text for Prometheus (version 0.0.4 of its format): serve it as
   * `text/plain; version=0.0.4; charset=utf-8`. What the outbox cannot say now has no value.
   */
  async prometheus(): Promise<string> {
    return prometheusText(await this.#measured());
  }

  on<Name extends keyof GatewayEvents>(name: Name, listener: (...event: GatewayEvents[Name]) => void): this {
    this.#reporter.on(name, listener);
    return this;
  }

  off<Name extends keyof GatewayEvents>(name: Name, listener: (...event: GatewayEvents[Name]) => void): this {
    this.#reporter.off(name, listener);
    return this;
  }

  /** Not an async function: what the outbox takes at once costs one promise rather than four. */
  #submit(submission: Submission): Promise<LeafHandle> {
    const isBare = submission instanceof Uint8Array;
    const leaf = isBare ? submission : submission?.leaf;
    const eventId = isBare ? undefined : submission?.eventId;
    checkSubmission(leaf, eventId);
    if (this.#closing !== undefined) throw closed();
    if (this.#delivery === undefined) return Promise.resolve(this.#disabledHandle(eventId));
    // The caller may use its bytes again as soon as it has this promise.
    if (!this.#isOpen) return this.#submitOnceOpen({ leaf: new Uint8Array(leaf), eventId });
    const kept = this.#keepsLeaves ? new Uint8Array(leaf) : undefined;
    const sequence = this.#room.append(leaf, eventId);
    if (typeof sequence === 'number' && this.#environment.reached === undefined) {
      return Promise.resolve(this.#taken(sequence, eventId, kept));
    }
    const taken = this.#takenLater(Promise.resolve(sequence), eventId, kept);
    this.#newestSubmit = taken;
    return taken;
  }

  async #submitOnceOpen(submission: Submission): Promise<LeafHandle> {
    await this.#opened;
    return this.#submit(submission);
  }

  async #takenLater(
    appended: Promise<number>,
    eventId: string | undefined,
    kept: Uint8Array | undefined,
  ): Promise<LeafHandle> {
    let sequence: number;
    try {
      sequence = await appended;
    } catch (error) {
      this.#tally.rejectedLeaves++;
      if (error instanceof GatewayError && error.code !== 'CLOSED') {
        this.#tally.failed(this.#environment.now(), error.code, error.message);
      }
      throw error;
    }
    const handle = this.#taken(sequence, eventId, kept);
    await this.#environment.reached?.('outbox.appended');
    return handle;
  }

  #taken(sequence: number, eventId: string | undefined, kept: Uint8Array | undefined): LeafHandle {
    this.#tally.submittedLeaves++;
    this.#delivery?.added();
    return this.#handles.add(sequence, eventId, kept);
  }

  /** For metrics, which are needed most while a database is away: NaN for what it would say, and all the rest. */
  async #measured(): Promise<GatewayStats> {
    if (this.#delivery === undefined) return this.#statsWith(NOTHING);
    if (!this.#isOpen || this.#closing !== undefined) return this.#statsWith(UNKNOWN);
    try {
      return this.#statsWith(await this.#settings.outbox.backlog());
    } catch (error) {
      this.#reporter.noted(error);
      return this.#statsWith(UNKNOWN);
    }
  }

  #statsWith(backlog: Backlog): GatewayStats {
    return this.#tally.stats(this.#environment.now(), this.#settings.outbox.kind, backlog, {
      inFlightBatches: this.#delivery?.inFlight ?? 0,
      blockedSubmits: this.#room.waiting,
      isStopped: this.#delivery?.isStopped ?? false,
    });
  }

  /** A database that starts after its gateway, a predecessor that still closes its journal: both pass. */
  #tryToOpen(delayMs: number, open: () => Promise<void>): void {
    this.#opened = open();
    // Whoever submits is told; a gateway that nobody uses must not end the process.
    this.#opened.catch((error: unknown) => {
      if (!(error instanceof GatewayError) || this.#closing !== undefined) {
        this.#reporter.failed('opening the outbox', error);
        return;
      }
      // Tries are many, and all alike.
      const message = this.#reporter.noted(error);
      if (message !== this.#saidOfOpening) this.#reporter.triedAgain('opening the outbox', error);
      this.#saidOfOpening = message;
      this.#cancelReopening = this.#environment.after(delayMs, () =>
        this.#tryToOpen(Math.min(2 * delayMs, LAST_REOPENING_MS), open),
      );
    });
  }

  async #open(clusterId: string, trust: Trust, delivery: Delivery): Promise<void> {
    const { outbox, log, etcdRevision } = this.#settings;
    const { now, reached } = this.#environment;
    const { newRequestId } = delivery;
    const context: OutboxContext = { clusterId, now, newRequestId, etcdRevision, log, reached };
    const { checkpoints } = await outbox.open(context);
    trust.restore(checkpoints);
    this.#isOpen = true;
    log.info(
      { cluster_id: clusterId, outbox: outbox.kind, verified: this.#settings.keys !== undefined },
      `leaves wait in the outbox in ${outbox.kind}: it survives ${outbox.promise}`,
    );
    delivery.start();
    this.#elsewhere?.start();
  }

  async #close(timeoutMs: number): Promise<Leftover> {
    this.#room.close();
    this.#endMetrics();
    this.#cancelReopening?.();
    if (this.#delivery === undefined) return { leaves: 0, oldestAtMs: undefined };
    const { outbox } = this.#settings;
    let left: Leftover = { leaves: undefined, oldestAtMs: undefined };
    try {
      await this.#opened;
      left = await this.flush({ timeoutMs });
    } catch (error) {
      this.#reporter.failed('the outbox', error);
    }
    try {
      this.#elsewhere?.end();
      await this.#delivery.end();
      await outbox.close();
    } finally {
      this.#isEnded = true;
      this.#tally.changed();
      this.#link?.close();
      this.#handles.end(closed());
    }
    if (left.leaves !== 0) {
      const leaves = left.leaves === undefined ? 'nobody knows how many' : left.leaves;
      this.#settings.log.warn({ leaves: left.leaves }, `closed with ${leaves} leaves that are not anchored`);
    }
    return left;
  }

  #observer(): DeliveryObserver {
    return this.#reporter.observe({
      handles: this.#handles,
      freed: () => this.#room.freed(),
      isStopped: () => this.#delivery?.isStopped ?? false,
    });
  }

  #disabledHandle(eventId: string | undefined): LeafHandle {
    const handles = new LeafHandles();
    const handle = handles.add(0, eventId);
    handles.end(new GatewayError('DISABLED', 'anchoring is disabled: clusterId is empty'));
    return handle;
  }
}

const UNKNOWN: Backlog = {
  leaves: Number.NaN,
  unsealed: Number.NaN,
  batches: Number.NaN,
  deadLeaves: Number.NaN,
  oldestAtMs: Number.NaN,
};
const NOTHING: Backlog = { leaves: 0, unsealed: 0, batches: 0, deadLeaves: 0, oldestAtMs: undefined };

function closed(): GatewayError {
  return new GatewayError('CLOSED', 'this gateway is closed');
}
