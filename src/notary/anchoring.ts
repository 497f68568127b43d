import { v7 as uuidv7 } from 'uuid';
import { equalHashes, type TreeHasher } from '../merkle/index.ts';
import { hashBatchPolitely } from './batch-hashing.ts';
import type { ClusterLog } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import type { AnchorToSequence } from './group-commit.ts';
import { checkKnownCheckpoint, readCheckpoint } from './known-checkpoint.ts';
import type { OpenLog, OpenLogs } from './open-logs.ts';
import { pastTheEnd, proveRecord } from './receipts.ts';
import { cancelled, databaseAway, notActive } from './refusal.ts';
import type { AnchorAnswer, Submission } from './service.ts';
import { type Entry, type Head, type Storage, StorageError, type StoredBatch } from './storage.ts';
import { readAnchorRecord } from './stored-entry.ts';

/** Leaves above this are stored first and alone, so that a big batch does not hold up the group commit of small ones. */
const MAX_INLINE_LEAVES_BYTES = 256 * 1024;
/** Successors of successors that one call is passed along. */
const MAX_SUCCESSIONS = 16;

export interface AnchoringDependencies {
  readonly logs: OpenLogs;
  readonly storage: Storage;
  readonly hasher: TreeHasher;
  readonly now: () => number;
}

/** What the caller asked for, to be compared with what a request id made earlier. */
type Content = Pick<AnchorToSequence, 'root' | 'leafCount' | 'etcdRevision' | 'requestId'>;

/** `CreateAnchor`: from a submission to its answer. */
export class Anchoring {
  readonly #dependencies: AnchoringDependencies;

  constructor(dependencies: AnchoringDependencies) {
    this.#dependencies = dependencies;
  }

  /** @throws NotaryError, StorageError */
  async create(submission: Submission): Promise<AnchorAnswer> {
    const { hasher, storage } = this.#dependencies;
    const chain = await this.#successions(submission.clusterId);
    const target = chain.at(-1);
    if (target === undefined) throw new Error('a succession begins with the cluster that was named');
    const knownSize = await this.#checkKnown(chain, target, submission.knownCheckpoint);

    const { requestId, etcdRevision, submitter, signal, packedLeaves } = submission;
    const { leafCount, root, nodes } = await hashBatchPolitely(hasher, packedLeaves, signal);
    const content: Content = { leafCount, root, etcdRevision, requestId };
    const isBig = packedLeaves.length > MAX_INLINE_LEAVES_BYTES;
    // A sealed log still answers for what it holds; and a big batch is not stored again for an answer that exists.
    for (const { log } of chain) {
      if (requestId === undefined || (log.state === 'active' && !isBig)) continue;
      const [entry] = await storage.findEntriesByRequestId(log.clusterId, [requestId]);
      if (entry !== undefined)
        return this.#replay(log, entry, content, log === target.log ? knownSize : undefined);
    }
    if (target.log.state !== 'active') throw notActive(target.log.cluster);

    const anchorId = uuidv7();
    const batch = { anchorId, leaves: packedLeaves, nodes };
    if (signal.aborted) throw cancelled();
    if (isBig) await this.#store(target.log.clusterId, batch, signal);
    const sequenced = await target.sequencer.submit({
      ...content,
      anchorId,
      submitter,
      batch: isBig ? undefined : batch,
      byteLength: isBig ? 0 : packedLeaves.length + nodes.length,
      signal,
    });
    return sequenced.kind === 'known'
      ? this.#replay(target.log, sequenced.entry, content, knownSize)
      : this.#answer(target.log, sequenced.entry, sequenced.head, knownSize, false);
  }

  async #store(clusterId: string, batch: StoredBatch, signal: AbortSignal): Promise<void> {
    try {
      await this.#dependencies.storage.storeBatch(clusterId, batch, signal);
    } catch (error) {
      throw signal.aborted ? cancelled() : error;
    }
  }

  /** The named log and, where it is sealed, its successors up to the one that takes anchors now. */
  async #successions(clusterId: string): Promise<readonly OpenLog[]> {
    const chain = [await this.#dependencies.logs.get(clusterId)];
    for (let current = chain[0]; current !== undefined && chain.length <= MAX_SUCCESSIONS; ) {
      const { log } = current;
      // Another replica may have thawed it or given it a successor.
      if (log.state !== 'active' && log.cluster.successorId === undefined) await log.refresh();
      if (log.state !== 'sealed' || log.cluster.successorId === undefined) break;
      current = await this.#dependencies.logs.get(log.cluster.successorId);
      chain.push(current);
    }
    return chain;
  }

  /**
   * Checks `known_checkpoint` against the log whose origin it names: the target, the sealed one that the caller still
   * names, or the target's predecessor.
   *
   * @returns its size where it is the target's own, so that a consistency path from there can be given
   */
  async #checkKnown(chain: readonly OpenLog[], target: OpenLog, note: string): Promise<number | undefined> {
    if (note === '') return undefined;
    const checkpoint = readCheckpoint(note, 'known_checkpoint');
    const { predecessorId } = target.log.cluster;
    const candidates = [...chain];
    if (predecessorId !== undefined && chain.length === 1)
      candidates.unshift(await this.#dependencies.logs.get(predecessorId));
    const owner = candidates.find(({ log }) => log.cluster.origin === checkpoint.origin);
    if (owner === undefined) {
      const description = `a checkpoint of ${JSON.stringify(checkpoint.origin.slice(0, 255))}, not of ${target.log.cluster.origin}`;
      throw new NotaryError('INVALID_ARGUMENT', `known_checkpoint: ${description}`, {
        violations: [{ field: 'known_checkpoint', description }],
      });
    }
    const contained = await checkKnownCheckpoint(owner.log, note, checkpoint, this.#dependencies.hasher);
    return contained && owner === target ? checkpoint.size : undefined;
  }

  /** The first answer again, against the newest checkpoint. @throws NotaryError REQUEST_ID_REUSED */
  async #replay(
    log: ClusterLog,
    entry: Entry,
    asked: Content,
    knownSize: number | undefined,
  ): Promise<AnchorAnswer> {
    const record = readAnchorRecord(entry, log.clusterId);
    let answer: AnchorAnswer;
    try {
      const head = await log.newestHead(Math.max(entry.logIndex + 1, knownSize ?? 0));
      if (head.size <= entry.logIndex) throw pastTheEnd(log, entry, head);
      answer = await this.#answer(log, entry, head, knownSize, true);
    } catch (error) {
      throw isCorrupt(error) && (await this.#isGone(log, entry)) ? databaseAway(error) : error;
    }
    const same =
      record.leafCount === asked.leafCount &&
      record.etcdRevision === asked.etcdRevision &&
      equalHashes(record.root, asked.root);
    // Only now, since a row that is not proven may be gone again, and the request id free.
    if (same) return answer;
    throw new NotaryError(
      'REQUEST_ID_REUSED',
      `request_id ${asked.requestId} made anchor ${entry.anchorId} of other content; use a new request_id for new leaves`,
    );
  }

  /** Seen is not durable: whether a failover took back the row that a replay was to be answered from. */
  async #isGone({ clusterId }: ClusterLog, { requestId, logIndex, recordHash }: Entry): Promise<boolean> {
    if (requestId === undefined) return false;
    const [stored] = await this.#dependencies.storage.findEntriesByRequestId(clusterId, [requestId]);
    return stored?.logIndex !== logIndex || !equalHashes(stored.recordHash, recordHash);
  }

  async #answer(
    log: ClusterLog,
    entry: Entry,
    head: Pick<Head, 'size' | 'root'>,
    knownSize: number | undefined,
    replayed: boolean,
  ): Promise<AnchorAnswer> {
    const [checkpoint, recordPath, consistencyPath] = await Promise.all([
      log.checkpoint(head),
      // What this process has just hashed needs no second look; what was read back does.
      replayed
        ? proveRecord(log, this.#dependencies.hasher, entry, head).then((proof) => proof.recordPath)
        : log.inclusionPath(entry.logIndex, head.size),
      knownSize === undefined ? [] : log.consistencyPath(knownSize, head.size),
    ]);
    const { anchorId = '', leafCount, record, logIndex } = entry;
    return { anchorId, leafCount, record, logIndex, checkpoint, recordPath, consistencyPath, replayed };
  }
}

function isCorrupt(error: unknown): boolean {
  return error instanceof NotaryError
    ? error.code === 'LOG_CORRUPT'
    : error instanceof StorageError && error.code === 'CORRUPT';
}
