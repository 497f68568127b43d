import type { TreeHasher } from '../merkle/index.ts';
import { type Attempt, makeAttempt, type UnplacedAnchor } from './attempt.ts';
import type { ClusterLog } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import { findKnownEntries } from './known-entries.ts';
import { sameHead } from './log-keys.ts';
import type { Logger } from './logger.ts';
import { resolveLostAnswer } from './lost-answer.ts';
import { asNotaryError, databaseAway, notActive } from './refusal.ts';
import type { AppendOutcome, Entry, Head, Storage } from './storage.ts';

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

/** A caller and its anchor. Of several answers the first one counts. */
export interface Waiting {
  readonly anchor: AnchorToSequence;
  readonly resolve: (sequenced: Sequenced) => void;
  readonly reject: (error: unknown) => void;
}

export interface GroupCommitOptions {
  readonly log: ClusterLog;
  readonly storage: Storage;
  readonly hasher: TreeHasher;
  readonly logger: Logger;
  readonly now: () => number;
  /** Whether an append in flight need not be resolved any more. */
  readonly isAbandoned: () => boolean;
  /** Called before each step of a group on its way: an append, and what follows from its outcome. */
  readonly onStep: () => void;
}

/** Brings groups of anchors into the log, one group after the other: appends, lost races, known request ids, poison. */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #lockedAppendsLeft = 0;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /** Brings a group to its end: every member is answered when this resolves; a rejection is for all that are left. */
  async commit(members: readonly Waiting[]): Promise<void> {
    const { log } = this.#options;
    let left = members;
    for (let round = 0; left.length > 0; round++) {
      if (round === MAX_ROUNDS) throw databaseAway(new Error(`no append succeeded in ${MAX_ROUNDS} rounds`));
      this.#options.onStep();
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
        await this.commit([member]);
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

  /**
   * Answers the members whose request ids are anchored already, from rows that are durable; returns the others. A row that
   * cannot be read is its own caller's misfortune: its request id is anchored all the same, and never appended again.
   */
  async #answerKnown(members: readonly Waiting[]): Promise<readonly Waiting[]> {
    const { log, logger, storage } = this.#options;
    const requestIds = requestIdsOf(members);
    if (requestIds.length === 0) return members;
    const find = () => findKnownEntries(storage, log.clusterId, requestIds);
    let known = await find();
    const isPastTheHead = ({ logIndex }: Entry) => logIndex >= log.tail.head.size;
    if (known.entries.some(isPastTheHead)) {
      await log.refresh();
      // Once more, head after row: a failover in between is no evidence.
      known = await find();
      if (known.entries.some(isPastTheHead)) await log.refresh();
      if (known.entries.some(isPastTheHead)) throw await this.#declareStrandedRows();
    }
    const { entries, unreadable } = known;
    if (entries.length > 0) await log.durableHead();
    const byRequestId = new Map(entries.map((entry) => [entry.requestId, entry]));
    return members.filter((waiting) => {
      const { requestId } = waiting.anchor;
      if (requestId === undefined) return true;
      const entry = byRequestId.get(requestId);
      const error = unreadable.get(requestId);
      if (entry !== undefined) waiting.resolve({ kind: 'known', entry });
      else if (error !== undefined) {
        logger.error({ clusterId: log.clusterId, requestId, err: error }, 'a stored anchor cannot be read');
        waiting.reject(asNotaryError(error));
      }
      return entry === undefined && error === undefined;
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
    const { log, logger, storage, isAbandoned } = this.#options;
    const size = attempt.group.newHead.size;
    logger.warn({ clusterId: log.clusterId, size, err: answered.cause }, 'the answer to an append was lost');
    const outcome = await resolveLostAnswer(storage, attempt.group, {
      isAbandoned,
      onStillLost: (resends, cause) =>
        logger.warn(
          { clusterId: log.clusterId, size, resends, err: cause },
          'the answer to an append is still lost',
        ),
    });
    return outcome ?? { kind: 'unavailable', cause: answered.cause };
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

export function rejectAll(members: readonly Waiting[], error: Error): void {
  for (const { reject } of members) reject(error);
}
