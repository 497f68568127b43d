// What the gateway believes of an answer.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { fastHasher } from '../merkle/fast.ts';
import { hashBatchInSlices } from '../merkle/index.ts';
import { verifyEd25519Natively } from '../native/ed25519.ts';
import { parseVkey } from '../note/index.ts';
import { checkAnchorResponse, verifyHashedAnchorResponse } from '../verify/anchor-response.ts';
import { readCheckpoint } from '../verify/checkpoint.ts';
import {
  type Policy,
  type Receipt,
  type Verdict,
  VerificationError,
  type VerificationErrorCode,
  type VerifiedCheckpoint,
  verifyCheckpoint,
  verifyReceipt,
} from '../verify/index.ts';
import { lowerCaseUuid } from '../verify/shape.ts';
import type { AnchorAnswer, AnchorCall, CallLimits, NotaryLink } from './notary-link.ts';
import type { BatchAnchor } from './outbox.ts';
import { judge } from './refusal.ts';
import { type FetchPath, WitnessedLogs } from './witnessed-logs.ts';

/** An answer that was found to be in order. */
export interface AcceptedAnchor extends BatchAnchor {
  /** the half of the receipt that the leaves of the batch share */
  readonly proof: {
    readonly record: Uint8Array;
    readonly recordPath: readonly Uint8Array[];
    /** a signed note, verbatim, that covers `logIndex` */
    readonly checkpoint: string;
  };
  /** whether a pinned key has signed it */
  readonly verified: boolean;
}

export interface TrustOptions {
  /** UUID of the gateway's own cluster, in any case */
  readonly clusterId: string;
  /** Pinned verifier keys, of the own cluster and of its successors. Without them the notary is believed. */
  readonly keys: readonly string[] | undefined;
  /** asked for consistency paths only */
  readonly link: Pick<NotaryLink, 'getConsistencyPath'>;
}

const FAST = { hasher: fastHasher, verifyEd25519: verifyEd25519Natively };

/**
 * Checks every answer before it is reported, and remembers the log: with pinned keys a notary cannot alter, drop or fork what
 * it has anchored without being noticed by the next call. Without keys only faults are noticed.
 */
export class Trust {
  readonly #clusterId: string;
  readonly #policy: Policy | undefined;
  readonly #origins: ReadonlySet<string>;
  readonly #link: Pick<NotaryLink, 'getConsistencyPath'>;
  readonly #logs = new WitnessedLogs();

  /** @throws {NoteError} for a key that is none */
  constructor({ clusterId, keys, link }: TrustOptions) {
    this.#clusterId = clusterId.toLowerCase();
    const logKeys = keys?.map((key) => parseVkey(key));
    this.#policy = logKeys === undefined ? undefined : { logKeys };
    this.#origins = new Set(logKeys?.map(({ name }) => name));
    this.#link = link;
  }

  /**
   * Takes up the checkpoints that the outbox has kept: the notary must go on from there.
   *
   * @throws {VerificationError} for one that the pinned keys do not verify
   */
  restore(checkpoints: readonly string[]): void {
    const policy = this.#policy;
    if (policy === undefined) return;
    const restored = checkpoints.map((note) => verifyStored(note, policy));
    for (const checkpoint of restored) this.#logs.begin(checkpoint);
    // A log of another cluster is a successor, which is where anchors go; a notary takes the checkpoint of either.
    const current = restored.findLast(({ origin }) => !this.#isOwn(origin)) ?? restored.at(-1);
    if (current !== undefined) this.#logs.goOnUnder(current.origin);
  }

  /** What to present with the next call: a signed note, verbatim; empty for none. */
  knownCheckpoint(): string {
    return this.#logs.current?.checkpoint ?? '';
  }

  /**
   * Checks an answer to a call: that it anchors these leaves for this request, in the own log or in that of a successor whose
   * key is pinned, and that this log is the one that is known, grown.
   *
   * @param limits of the further call that is needed where several calls were in flight
   * @throws {VerificationError} whose `code` names what is wrong. Anything else is a failure of that further call: the answer
   *   may be in order, and the same call can be made again
   */
  async accept(answer: AnchorAnswer, call: AnchorCall, limits: CallLimits): Promise<AcceptedAnchor> {
    const { etcdRevision, requestId, packedLeaves } = call;
    const { leafCount, root } = await hashInSlices(packedLeaves);
    const { origin, size } = readCheckpoint(answer.checkpoint);
    const clusterId = this.#clusterOf(origin);
    const request = { clusterId, leafCount, root, etcdRevision, requestId };
    if (this.#policy === undefined) {
      const { anchorId, logIndex } = checkAnchorResponse(answer, request, fastHasher);
      return { anchorId, clusterId, logIndex, proof: proofOf(answer, answer.checkpoint), verified: false };
    }

    const presented = this.#presented(call.knownCheckpoint, this.#policy);
    const presentedHere = presented?.origin === origin ? presented : undefined;
    const isUnproven = presentedHere !== undefined && isLeftOut(answer, presentedHere, size);
    const known = isUnproven ? undefined : presentedHere;
    const verified = verifyHashedAnchorResponse(
      answer,
      known === undefined ? request : { ...request, known },
      this.#policy,
      FAST,
    );
    const fetchPath = this.#pathOf(clusterId, limits);
    if (isUnproven) await this.#logs.join(presentedHere, undefined, fetchPath);
    const newest = await this.#logs.join(verified.checkpoint, known, fetchPath);
    const { current } = this.#logs;
    // A predecessor still answers for what it holds, and takes nothing new.
    if (!answer.replayed || current === undefined || this.#isOwn(current.origin))
      this.#logs.goOnUnder(origin);
    const { anchorId, logIndex, checkpoint } = verified;
    return {
      anchorId,
      clusterId,
      logIndex,
      checkpoint: newest.checkpoint,
      // Not the answer's: where its head was known already, its signatures were not looked at.
      proof: proofOf(answer, checkpoint.checkpoint),
      verified: true,
    };
  }

  /**
   * Verifies a receipt that was fetched.
   *
   * @returns what it proves; undefined without pinned keys, since then it proves nothing
   * @throws {VerificationError}
   */
  acceptReceipt(
    receipt: Receipt,
    expected: { readonly leaf: Uint8Array; readonly anchorId: string; readonly leafIndex: number },
  ): Verdict | undefined {
    return this.#policy === undefined ? undefined : verifyReceipt(receipt, expected, this.#policy, FAST);
  }

  #isOwn(origin: string): boolean {
    return origin.endsWith(`/${this.#clusterId}`);
  }

  /** The cluster of a log that may answer: its origin ends in it. */
  #clusterOf(origin: string): string {
    if (this.#policy !== undefined && !this.#origins.has(origin)) {
      const shown = JSON.stringify(origin.slice(0, 300));
      throw new VerificationError(
        'ORIGIN_MISMATCH',
        `the answer is from the log ${shown}, of which no key is pinned; if it succeeds cluster ${this.#clusterId}, pin its key`,
      );
    }
    if (this.#isOwn(origin)) return this.#clusterId;
    const clusterId = lowerCaseUuid(origin.slice(origin.lastIndexOf('/') + 1));
    if (clusterId !== undefined) return clusterId;
    throw new VerificationError('CLUSTER_MISMATCH', `the log ${JSON.stringify(origin)} is of no cluster`);
  }

  #presented(note: string, policy: Policy): VerifiedCheckpoint | undefined {
    if (note === '') return undefined;
    const { current } = this.#logs;
    return current?.checkpoint === note ? current : verifyCheckpoint(note, policy, FAST);
  }

  #pathOf(clusterId: string, limits: CallLimits): FetchPath {
    return async (older, newer) => {
      const sizes = { clusterId, firstSize: older.size, secondSize: newer.size };
      try {
        return await this.#link.getConsistencyPath(sizes, limits);
      } catch (error) {
        const judgement = judge(error);
        if (judgement.kind === 'retry' || judgement.kind === 'data-loss') throw error;
        // It has signed both sizes, and now it does not know them, or does not say.
        throw new VerificationError(
          'CONSISTENCY_PATH',
          `the notary does not show how its log grew from ${older.size} to ${newer.size}: ${String(error)}`,
          error,
        );
      }
    };
  }
}

/**
 * Whether the notary gives no path from what was presented, as it does where a sealed log replays an anchor while its
 * successor takes the new ones. The path is then asked for, like that between two calls in flight.
 */
function isLeftOut(answer: AnchorAnswer, presented: VerifiedCheckpoint, size: number): boolean {
  return answer.replayed && answer.consistencyPath.length === 0 && presented.size !== size;
}

/** Copies, not by `slice`, which on a Buffer makes none: what was received is a view of a larger buffer, which would live as long as the application keeps a receipt. */
function proofOf({ record, recordPath }: AnchorAnswer, checkpoint: string): AcceptedAnchor['proof'] {
  const copied = recordPath.map((hash) => new Uint8Array(hash));
  return { record: new Uint8Array(record), recordPath: copied, checkpoint };
}

/** A batch of a million leaves takes a third of a second, in which the application has other things to do. */
async function hashInSlices(packedLeaves: Uint8Array) {
  const hashing = hashBatchInSlices(fastHasher, packedLeaves);
  for (;;) {
    const step = hashing.next();
    if (step.done) return step.value;
    await nextTurn();
  }
}

const STORED_AND_REFUSED: Partial<Record<VerificationErrorCode, string>> = {
  ORIGIN_MISMATCH: 'no key of its log is pinned: pin it again, or give the gateway another outbox',
  UNKNOWN_KEY: 'the keys that are pinned for its log did not sign it: after a rotation pin the old key too',
  BAD_SIGNATURE: 'it was altered in the outbox, or a pinned key signs badly',
};

function verifyStored(note: string, policy: Policy): VerifiedCheckpoint {
  try {
    return verifyCheckpoint(note, policy, FAST);
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    const why = STORED_AND_REFUSED[error.code] ?? 'it was damaged in the outbox';
    throw new VerificationError(
      error.code,
      `a checkpoint that the outbox keeps does not verify, ${why} (${error.message})`,
      error,
    );
  }
}
