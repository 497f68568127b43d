import type { TreeHasher } from '../merkle/index.ts';
import { type Attempt, makeAttempt, type UnplacedAnchor } from './attempt.ts';
import type { ClusterLog } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import { sameHead } from './log-keys.ts';
import type { Logger } from './logger.ts';
import { resolveLostAnswer } from './lost-answer.ts';
import { asNotaryError, cancelled, databaseAway, notActive, shuttingDown } from './refusal.ts';
import type { AppendOutcome, Entry, Head, Storage } from './storage.ts';

/** One statement takes at most this much. */
const MAX_GROUP_ANCHORS = 1000;
const MAX_GROUP_BYTES = 4 * 1024 * 1024;
/** Uncontended appends under the lock before optimism returns. */
const LOCKED_APPENDS = 8;
/** Lost races and the like in a row, without anything explaining them, before a group gives up. */
const MAX_ROUNDS = 100;

export interface AnchorToSequence extends UnplacedAnchor {
  /** Bytes that the append will carry. */
  readonly byteLength: number;
  /** Honoured until the anchor is taken into a group. */
  readonly signal: AbortSignal;
}

export type Sequenced =
  | { readonly kind: 'appended'; readonly entry: Entry; readonly head: Head }
  /** The request id is anchored already; whether with the same content is for the caller to judge. */
  | { readonly kind: 'known'; readonly entry: Entry };

export interface SequencerOptions {
  readonly log: ClusterLog;
  readonly storage: Storage;
  readonly hasher: TreeHasher;
  readonly logger: Logger;
  readonly now: () => number;
  readonly maxQueuedAnchors: number;
  /** How long callers wait for the database before they are told that the outcome is not known. */
  readonly outcomePatienceMs: number;
}

interface Waiting {
  readonly anchor: AnchorToSequence;
  readonly resolve: (sequenced: Sequenced) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The only writer of one cluster's log in this process. Group commit: while an append is in flight anchors queue, and go
 * into the next one together.
 */
export class Sequencer {
  readonly #options: SequencerOptions;
  readonly #queue: Waiting[] = [];
  readonly #byRequestId = new Map<string, Promise<Sequenced>>();
  #running: Promise<void> | undefined;
  #lockedAppendsLeft = 0;
  /** Set while an append takes longer than callers are made to wait. */
  #inDoubt = false;
  #patience: NodeJS.Timeout | undefined;
  #abandoned = false;
  #inFlight: readonly Waiting[] = [];

  constructor(options: SequencerOptions) {
    this.#options = options;
  }

  /** Answers everybody who waits or comes, because the process ends: what is in flight may still be committed. */
  abandon(): void {
    this.#abandoned = true;
    this.#rejectInFlight(
      'the server is shutting down and does not know whether this anchor was committed; retry',
    );
    this.#rejectQueue(shuttingDown());
  }

  /**
   * Gives an anchor its place in the log. Equal request ids are merged: one is appended, the others get its entry.
   *
   * @throws NotaryError QUEUE_FULL, CANCELLED, STORAGE_UNAVAILABLE, OUTCOME_UNKNOWN, REJECTED_BY_STORAGE, and those of the log
   */
  async submit(anchor: AnchorToSequence): Promise<Sequenced> {
    const { requestId } = anchor;
    if (requestId === undefined) return this.#enqueue(anchor);
    for (;;) {
      const earlier = this.#byRequestId.get(requestId);
      if (earlier === undefined) break;
      // The earlier caller's failure (it may just have gone away) is not this caller's: then this one tries itself.
      const result = await earlier.catch(() => undefined);
      if (result !== undefined) return { kind: 'known', entry: result.entry };
      throwIfAborted(anchor);
    }
    const sequenced = this.#enqueue(anchor);
    this.#byRequestId.set(requestId, sequenced);
    try {
      return await sequenced;
    } finally {
      this.#byRequestId.delete(requestId);
    }
  }

  async #enqueue(anchor: AnchorToSequence): Promise<Sequenced> {
    throwIfAborted(anchor);
    if (this.#abandoned) throw shuttingDown();
    if (this.#inDoubt) throw databaseAway();
    if (this.#queue.length >= this.#options.maxQueuedAnchors) {
      throw new NotaryError('QUEUE_FULL', `${this.#queue.length} anchors wait for this cluster; retry later`);
    }
    return new Promise<Sequenced>((resolve, reject) => {
      this.#queue.push({ anchor, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    // Calls that arrived in the same turn of the event loop go together.
    await new Promise(setImmediate);
    while (this.#queue.length > 0) {
      const group = this.#take();
      if (group.length === 0) continue;
      this.#inFlight = group;
      this.#patience = setTimeout(() => this.#losePatience(), this.#options.outcomePatienceMs);
      try {
        await this.#commit(group);
      } catch (error) {
        rejectAll(group, asNotaryError(error));
      }
      clearTimeout(this.#patience);
      this.#inDoubt = false;
      this.#inFlight = [];
    }
    // In the same turn as the last look at the queue: who comes after it starts the next run.
    this.#running = undefined;
  }

  #take(): Waiting[] {
    const group: Waiting[] = [];
    let bytes = 0;
    let taken = 0;
    for (const waiting of this.#queue) {
      if (group.length === MAX_GROUP_ANCHORS) break;
      const { byteLength, signal } = waiting.anchor;
      if (group.length > 0 && bytes + byteLength > MAX_GROUP_BYTES) break;
      taken++;
      if (signal.aborted) {
        waiting.reject(cancelled());
        continue;
      }
      group.push(waiting);
      bytes += byteLength;
    }
    this.#queue.splice(0, taken);
    return group;
  }

  /** Brings a group to its end: every member is answered when this resolves; a rejection is for all that are left. */
  async #commit(members: readonly Waiting[]): Promise<void> {
    const { log } = this.#options;
    let left = members;
    for (let round = 0; left.length > 0; round++) {
      if (round === MAX_ROUNDS) throw databaseAway(new Error(`no append succeeded in ${MAX_ROUNDS} rounds`));
      // Callers wait that long for each step, not for all of them.
      this.#patience?.refresh();
      if (!log.takesAnchors) await log.refresh();
      if (!log.takesAnchors) {
        left = await this.#answerKnown(left);
        throw notActive(log.cluster);
      }
      const { outcome, attempt, members: sent } = await this.#append(left);
      if (outcome.kind === 'appended' && attempt !== undefined) {
        answerAppended(sent, attempt);
        left = left.filter((waiting) => !sent.includes(waiting));
      } else if (outcome.kind === 'unavailable') {
        throw databaseAway(outcome.cause);
      } else if (outcome.kind === 'batchesMissing') {
        left = this.#rejectLostBatches(left, outcome.anchorIds);
      } else if (outcome.kind === 'rejected') {
        // All that are left: what was not sent under the lock, since its request id is known, is answered there too.
        return this.#commitAlone(left, outcome.cause);
      } else {
        left = await this.#afterLostRace(left, outcome, attempt);
      }
    }
  }

  /** One poison anchor must fail alone: the others are tried each by itself. */
  async #commitAlone(members: readonly Waiting[], cause: unknown): Promise<void> {
    const [only] = members;
    if (members.length === 1 && only !== undefined) {
      const { anchorId } = only.anchor;
      this.#options.logger.error(
        { clusterId: this.#options.log.clusterId, anchorId, err: cause },
        'the database refuses an anchor',
      );
      only.reject(new NotaryError('REJECTED_BY_STORAGE', 'the database cannot store this anchor', { cause }));
      return;
    }
    for (const member of members) {
      try {
        await this.#commit([member]);
      } catch (error) {
        member.reject(asNotaryError(error));
      }
    }
  }

  /** Their callers still have the leaves; the others' anchors go on without them. */
  #rejectLostBatches(members: readonly Waiting[], anchorIds: readonly string[]): readonly Waiting[] {
    this.#options.logger.warn(
      { clusterId: this.#options.log.clusterId, anchorIds },
      'the database lost leaves that it had acknowledged',
    );
    const isLost = ({ anchor }: Waiting) => anchorIds.includes(anchor.anchorId);
    rejectAll(members.filter(isLost), databaseAway());
    return members.filter((waiting) => !isLost(waiting));
  }

  async #afterLostRace(
    members: readonly Waiting[],
    outcome: AppendOutcome,
    attempt: Attempt | undefined,
  ): Promise<readonly Waiting[]> {
    const { log, logger } = this.#options;
    await log.refresh();
    const { head } = log.tail;
    const unmoved = attempt !== undefined && sameHead(head, attempt.group.oldHead);
    const left = await this.#answerKnown(members);
    if (!unmoved) {
      if (attempt !== undefined) {
        logger.debug({ clusterId: log.clusterId, size: attempt.group.oldHead.size }, 'an append lost a race');
      }
      this.#lockedAppendsLeft = LOCKED_APPENDS;
    } else if (
      outcome.kind === 'conflict' &&
      outcome.duplicateKey &&
      left.length === members.length &&
      log.state === 'active'
    ) {
      throw await this.#declareStrandedRows();
    }
    return left;
  }

  async #declareStrandedRows(): Promise<NotaryError> {
    const { log } = this.#options;
    const reason = `rows past the stored head of size ${log.tail.head.size} exist: the head was taken back`;
    return log.declare('recovering', 'LOG_ROLLED_BACK', reason);
  }

  /** Answers the members whose request ids are anchored already, from rows that are durable; returns the others. */
  async #answerKnown(members: readonly Waiting[]): Promise<readonly Waiting[]> {
    const { log, storage } = this.#options;
    const requestIds = requestIdsOf(members);
    if (requestIds.length === 0) return members;
    const find = () => storage.findEntriesByRequestId(log.clusterId, requestIds);
    let entries = await find();
    const isPastTheHead = ({ logIndex }: Entry) => logIndex >= log.tail.head.size;
    if (entries.some(isPastTheHead)) {
      await log.refresh();
      // Once more, head after row: a failover in between is no evidence.
      entries = await find();
      if (entries.some(isPastTheHead)) await log.refresh();
      if (entries.some(isPastTheHead)) throw await this.#declareStrandedRows();
    }
    if (entries.length === 0) return members;
    await log.durableHead();
    const byRequestId = new Map(entries.map((entry) => [entry.requestId, entry]));
    return members.filter((waiting) => {
      const entry =
        waiting.anchor.requestId === undefined ? undefined : byRequestId.get(waiting.anchor.requestId);
      if (entry !== undefined) waiting.resolve({ kind: 'known', entry });
      return entry === undefined;
    });
  }

  async #append(
    members: readonly Waiting[],
  ): Promise<{ outcome: AppendOutcome; attempt?: Attempt; members: readonly Waiting[] }> {
    if (this.#lockedAppendsLeft > 0) return this.#appendLocked(members);
    const attempt = this.#attempt(members);
    const outcome = await this.#resolved(attempt, await this.#options.storage.append(attempt.group));
    if (outcome.kind === 'appended') await this.#options.log.committed(attempt);
    return { outcome, attempt, members };
  }

  /** After a lost race: queue for the cluster's row rather than race again, until nobody else is there. */
  async #appendLocked(
    members: readonly Waiting[],
  ): Promise<{ outcome: AppendOutcome; attempt?: Attempt; members: readonly Waiting[] }> {
    const { log, storage } = this.#options;
    let attempt: Attempt | undefined;
    let sent = members;
    const fromSize = log.tail.head.size;
    const wanted = { fromSize, requestIds: requestIdsOf(members) };
    const answered = await storage.appendLocked(log.clusterId, wanted, (locked) => {
      const uncontended = sameHead(locked.head, log.tail.head);
      this.#lockedAppendsLeft = uncontended ? this.#lockedAppendsLeft - 1 : LOCKED_APPENDS;
      if (!log.extendLocked(locked, fromSize) || !log.takesAnchors) return undefined;
      const isKnown = ({ anchor: { requestId } }: Waiting) =>
        requestId !== undefined && locked.knownRequestIds.has(requestId);
      sent = members.filter((waiting) => !isKnown(waiting));
      if (sent.length === 0) return undefined;
      attempt = this.#attempt(sent);
      return attempt.group;
    });
    if (attempt === undefined) return { outcome: answered, members: sent };
    const outcome = await this.#resolved(attempt, answered);
    if (outcome.kind === 'appended') await log.committed(attempt);
    return { outcome, attempt, members: sent };
  }

  #attempt(members: readonly Waiting[]): Attempt {
    const { log, hasher, now } = this.#options;
    const anchors = members.map(({ anchor }) => anchor);
    return makeAttempt({
      clusterId: log.clusterId,
      anchors,
      ...log.tail,
      nowMs: now(),
      keys: log.keys,
      hasher,
    });
  }

  async #resolved(attempt: Attempt, answered: AppendOutcome): Promise<AppendOutcome> {
    if (answered.kind !== 'unknown') return answered;
    const { log, logger, storage } = this.#options;
    const size = attempt.group.newHead.size;
    logger.warn({ clusterId: log.clusterId, size, err: answered.cause }, 'the answer to an append was lost');
    const outcome = await resolveLostAnswer(storage, attempt.group, {
      // Then everybody has been told that the outcome is not known.
      isAbandoned: () => this.#abandoned,
      onStillLost: (resends, cause) =>
        logger.warn(
          { clusterId: log.clusterId, size, resends, err: cause },
          'the answer to an append is still lost',
        ),
    });
    return outcome ?? { kind: 'unavailable', cause: answered.cause };
  }

  #losePatience(): void {
    this.#inDoubt = true;
    this.#rejectInFlight(
      'the database did not say whether this anchor was committed; retry with the same request_id',
    );
    this.#rejectQueue(databaseAway());
  }

  #rejectInFlight(message: string): void {
    rejectAll(this.#inFlight, new NotaryError('OUTCOME_UNKNOWN', message));
  }

  #rejectQueue(error: NotaryError): void {
    rejectAll(this.#queue.splice(0), error);
  }
}

function answerAppended(members: readonly Waiting[], { group }: Attempt): void {
  members.forEach((waiting, i) => {
    const entry = group.entries[i];
    if (entry !== undefined) waiting.resolve({ kind: 'appended', entry, head: group.newHead });
  });
}

function requestIdsOf(members: readonly Waiting[]): string[] {
  return members.flatMap(({ anchor }) => (anchor.requestId === undefined ? [] : [anchor.requestId]));
}

function rejectAll(members: readonly Waiting[], error: Error): void {
  for (const { reject } of members) reject(error);
}

function throwIfAborted({ signal }: AnchorToSequence): void {
  if (signal.aborted) throw cancelled();
}
