import { equalHashes, type TreeHasher } from '../merkle/index.ts';
import type { Attempt } from './attempt.ts';
import { CheckpointCache } from './checkpoint-cache.ts';
import { NotaryError } from './error.ts';
import { type Evidence, KnownState } from './known-state.ts';
import type { LogEdge } from './log-edge.ts';
import { LogKeys, sameHead } from './log-keys.ts';
import type { LogReader } from './log-reader.ts';
import type { Logger } from './logger.ts';
import { Memory } from './memory.ts';
import { SharedRun } from './shared-run.ts';
import type { Signing } from './signing.ts';
import {
  type Cluster,
  type ClusterState,
  type Head,
  type LockedLog,
  type LogSnapshot,
  MAX_CATCH_UP,
  type Storage,
  StorageError,
} from './storage.ts';
import { loadStoredEdge, logCorrupt } from './stored-edge.ts';

export interface LogDependencies {
  readonly storage: Storage;
  readonly signing: Signing;
  readonly hasher: TreeHasher;
  readonly reader: LogReader;
  readonly logger: Logger;
}

const FRESH_MS = 1000;
/** How long a reader waits for the newest rows to be confirmed, where older ones will do. */
const CONFIRM_PATIENCE_MS = 1000;

/**
 * One cluster's log as this process sees it: the head that the next append extends, the newest head that may be answered
 * from, and the memory that tells a rollback from a race.
 *
 * Two heads, because seen is not durable: a row can be visible before the database has made it safe. `tail` is what was
 * read or written last; only a head whose commit, or a later one, was acknowledged is answered from and signed.
 */
export class ClusterLog {
  readonly clusterId: string;
  readonly keys: LogKeys;
  readonly #dependencies: LogDependencies;
  readonly #state: KnownState;
  readonly #memory: Memory;
  readonly #refreshing = new SharedRun(() => this.#refresh());
  readonly #confirming = new SharedRun(() => this.#confirm());
  readonly #checkpoints: CheckpointCache;
  #edge: LogEdge;
  #tail: Head;
  #lastCreatedAtMs: number | undefined;
  #durable: Head | undefined;
  /** Whether the rows that are in view were found to contain what was acknowledged. */
  #agrees = true;
  /** When the tail was last known to be the newest head, on the monotonic clock. */
  #freshAtMs = Number.NEGATIVE_INFINITY;

  private constructor(dependencies: LogDependencies, snapshot: LogSnapshot, keys: LogKeys, edge: LogEdge) {
    this.clusterId = snapshot.cluster.clusterId;
    this.keys = keys;
    this.#dependencies = dependencies;
    this.#state = new KnownState(dependencies.storage, dependencies.logger, snapshot.cluster);
    this.#edge = edge;
    this.#tail = snapshot.head;
    this.#lastCreatedAtMs = snapshot.lastCreatedAtMs;
    this.#memory = new Memory(snapshot.cluster);
    this.#checkpoints = new CheckpointCache(snapshot.cluster.origin, keys);
  }

  /**
   * Reads a log and checks what it will be extended from: keys, mac, root.
   *
   * @returns undefined where the cluster is unknown
   * @throws NotaryError SIGNING_KEY_MISMATCH, LOG_CORRUPT; StorageError
   */
  static async open(dependencies: LogDependencies, clusterId: string): Promise<ClusterLog | undefined> {
    const { storage, signing } = dependencies;
    const snapshot = await storage.readLog(clusterId);
    if (snapshot === undefined) return undefined;
    const keys = await LogKeys.open(snapshot.cluster.origin, await storage.readKeys(clusterId), signing);
    return new ClusterLog(dependencies, snapshot, keys, await loadStoredEdge(dependencies, snapshot, keys));
  }

  get cluster(): Cluster {
    return this.#state.cluster;
  }

  get state(): ClusterState {
    return this.cluster.state;
  }

  /**
   * Whether the log may be extended: it is active and, as far as this process knows, holds all that was acknowledged. A state
   * that has just become active says so before this process has compared; and evidence counts before it could be stored.
   */
  get takesAnchors(): boolean {
    return (
      this.state === 'active' &&
      this.#agrees &&
      this.#state.undeclared === undefined &&
      this.#memory.acknowledged.size <= this.#tail.size
    );
  }

  /** What the next append extends. */
  get tail(): { readonly head: Head; readonly edge: LogEdge; readonly lastCreatedAtMs: number | undefined } {
    return { head: this.#tail, edge: this.#edge, lastCreatedAtMs: this.#lastCreatedAtMs };
  }

  /**
   * Reads the newest head from the primary. Callers that arrive while a read is under way share the next one.
   *
   * @throws NotaryError LOG_ROLLED_BACK, LOG_FORKED (the cluster's state has been changed), LOG_CORRUPT; StorageError
   */
  refresh(): Promise<void> {
    return this.#refreshing.next();
  }

  /** The newest head of what was read or written that is acknowledged as durable. */
  async durableHead(): Promise<Head> {
    if (this.#durable === undefined || this.#durable.size < this.#tail.size) await this.#confirming.next();
    // Rows that came into view meanwhile were not confirmed with the others.
    while (this.#durable === undefined) await this.#confirming.next();
    return this.#durable;
  }

  /**
   * The newest durable head, at most a second old, that covers `size` entries; an older one only where none covers them.
   * Other replicas append too, so a head that this process holds for long is no longer the newest.
   */
  async newestHead(size: number): Promise<Head> {
    const fresh = performance.now() - this.#freshAtMs < FRESH_MS;
    if (fresh && this.#durable !== undefined && this.#durable.size >= size) return this.#durable;
    await this.refresh();
    return this.durableHeadOver(size);
  }

  /**
   * The newest durable head for readers: where the newest rows are not confirmed soon, the one before them, if it covers
   * `size` entries. A standby that is missing holds back the rows that it lacks, not those that it has.
   */
  async durableHeadOver(size: number): Promise<Head> {
    const confirming = this.durableHead();
    if (this.#durable === undefined || this.#durable.size < size) return confirming;
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, CONFIRM_PATIENCE_MS);
    try {
      await Promise.race([confirming, late.promise]);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
    } finally {
      clearTimeout(timer);
    }
    // None where the rows in view have been replaced meanwhile.
    return this.#durable ?? this.durableHead();
  }

  /**
   * Takes what was read under the cluster's lock, if it is a plain extension of the tail.
   *
   * @param fromSize that the new record hashes were asked from
   * @returns false where it is not: `refresh` finds out why
   */
  extendLocked(locked: LockedLog, fromSize: number): boolean {
    this.#state.note(locked.cluster);
    const alreadyKnown = this.#tail.size - fromSize;
    return alreadyKnown >= 0 && this.#extend(locked, locked.newRecordHashes.subarray(alreadyKnown * 32));
  }

  async #extendTo(snapshot: LogSnapshot): Promise<boolean> {
    for (;;) {
      const tail = this.#tail;
      const edge = this.#edge;
      const count = snapshot.head.size - tail.size;
      if (count > MAX_CATCH_UP) return false;
      const range = { level: 0, first: tail.size, count };
      const [packed] =
        count <= 0 ? [] : await this.#dependencies.storage.readLogTiles(this.clusterId, [range]);
      // Something else may have moved the tail meanwhile: then start over from there.
      if (this.#tail === tail && this.#edge === edge)
        return this.#extend(snapshot, packed ?? new Uint8Array());
    }
  }

  /** @param packed hashes of the records from the tail on */
  #extend({ head, lastCreatedAtMs }: LogSnapshot, packed: Uint8Array): boolean {
    const count = head.size - this.#tail.size;
    if (count === 0) return sameHead(head, this.#tail);
    if (count < 0 || packed.length < count * 32 || !this.keys.hasGoodMac(head)) return false;
    const extension = this.#edge.extend(
      Array.from({ length: count }, (_, i) => packed.slice(i * 32, i * 32 + 32)),
    );
    if (!equalHashes(extension.root, head.root)) return false;
    this.#edge.apply(extension);
    this.#tail = head;
    this.#lastCreatedAtMs = lastCreatedAtMs;
    return true;
  }

  /**
   * Takes over an append that this process saw acknowledged; only then may it be answered.
   *
   * @throws NotaryError LOG_FORKED, LOG_ROLLED_BACK where the acknowledgement came late, of a log that has since become another
   */
  async committed({ group, extension, lastCreatedAtMs }: Attempt): Promise<void> {
    const { newHead, oldHead } = group;
    // A refresh may have read this very commit before its own answer came.
    if (sameHead(this.#tail, oldHead) && this.#edge.size === extension.oldSize) {
      this.#edge.apply(extension);
      this.#tail = newHead;
      this.#lastCreatedAtMs = lastCreatedAtMs;
    }
    if (!sameHead(this.#tail, newHead)) {
      // More was read meanwhile, which need not contain this commit: a failover may lie between the two.
      this.#memory.acknowledge(newHead);
      await this.refresh();
      if (await this.#contains(newHead)) return;
      const reason = `the stored log has another root at size ${newHead.size} than the one that was acknowledged`;
      throw await this.#declareLoss('recovering', 'LOG_FORKED', reason);
    }
    this.#acknowledge(newHead);
    this.#freshAtMs = performance.now();
  }

  /** The signed checkpoint of a head that is committed, durable and recomputed (invariant 3). */
  async checkpoint(head: Pick<Head, 'size' | 'root'>): Promise<string> {
    this.#memory.sign(head);
    return this.#checkpoints.sign(head);
  }

  /**
   * The committed head of a size up to the durable one, its mac verified and its root recomputed.
   *
   * @throws NotaryError TREE_SIZE_OUT_OF_RANGE, TREE_SIZE_NOT_COMMITTED, LOG_CORRUPT
   */
  async headAt(size: number): Promise<Head> {
    const newest = await this.newestHead(size);
    if (size > newest.size) {
      throw new NotaryError(
        'TREE_SIZE_OUT_OF_RANGE',
        `size ${size} is past the end of the log, which has ${newest.size} entries`,
      );
    }
    if (size === newest.size) return newest;
    const head = await this.#dependencies.storage.readHead(this.clusterId, size);
    if (head === undefined) {
      throw new NotaryError(
        'TREE_SIZE_NOT_COMMITTED',
        `no commit of this log ended at size ${size}; use the size of a checkpoint`,
      );
    }
    if (!this.keys.hasGoodMac(head)) throw this.#corrupt(`the stored head of size ${size} has a wrong mac`);
    if (!equalHashes(await this.rootAt(size), head.root)) {
      throw this.#corrupt(`the stored records do not hash to the stored head of size ${size}`);
    }
    return head;
  }

  /** The root that the stored records give for a size up to the tail's. */
  rootAt(size: number): Promise<Uint8Array> {
    return this.#dependencies.reader.rootAt(this.clusterId, size, this.#edge);
  }

  inclusionPath(logIndex: number, size: number): Promise<Uint8Array[]> {
    return this.#dependencies.reader.inclusionPath(this.clusterId, logIndex, size, this.#edge);
  }

  consistencyPath(first: number, second: number): Promise<Uint8Array[]> {
    return this.#dependencies.reader.consistencyPath(this.clusterId, first, second, this.#edge);
  }

  /**
   * Changes the cluster's state on evidence against its log. Where the database cannot be told, this process takes no anchors,
   * and declares it again whenever it reads the log.
   */
  declare(to: Evidence['to'], code: Evidence['code'], reason: string): Promise<NotaryError> {
    return this.#state.declare({ to, code, reason });
  }

  /** What this process signed and the stored log lacks, if anything: it forbids going on from `recovering`. */
  async signedButLost(): Promise<Pick<Head, 'size' | 'root'> | undefined> {
    const { signed } = this.#memory;
    if (signed === undefined) return undefined;
    if (signed.size > this.#tail.size) return signed;
    return equalHashes(await this.rootAt(signed.size), signed.root) ? undefined : signed;
  }

  async #refresh(): Promise<void> {
    const sentAtMs = performance.now();
    await this.#reload();
    this.#freshAtMs = Math.max(this.#freshAtMs, sentAtMs);
  }

  async #reload(): Promise<void> {
    const acknowledged = this.#memory.acknowledged;
    const tail = this.#tail;
    const snapshot = await this.#readSnapshot();
    const { undeclared } = this.#state;
    if (undeclared !== undefined) throw await this.#state.declare(undeclared);
    if (snapshot.head.size < acknowledged.size) return this.#lostSomething(acknowledged);
    // An unacknowledged row that is gone again was never promised to anybody.
    const vanished = snapshot.head.size < tail.size;
    if (!vanished && snapshot.head.size < this.#tail.size) return;
    // What extends rows that lack something acknowledged lacks it too.
    if (!vanished && this.#agrees && (await this.#extendTo(snapshot))) return this.#consistent(snapshot);
    await this.#replaceView(snapshot);
    if (await this.#contains(acknowledged)) return this.#consistent(snapshot);
    await this.#lostSomething(acknowledged);
  }

  async #readSnapshot(): Promise<LogSnapshot> {
    const snapshot = await this.#dependencies.storage.readLog(this.clusterId);
    if (snapshot === undefined) throw this.#corrupt('the cluster is no longer in the database');
    this.#state.note(snapshot.cluster);
    return snapshot;
  }

  /** Rollback, fork, or a restore that an operator confirmed: the primary is read again before anything is declared. */
  async #lostSomething(acknowledged: Pick<Head, 'size' | 'root'>): Promise<void> {
    const snapshot = await this.#readSnapshot();
    await this.#replaceView(snapshot);
    if (await this.#contains(acknowledged)) return this.#consistent(snapshot);
    const { cluster, head } = snapshot;
    this.#state.rewindTo(cluster);
    this.#memory.rewindTo(cluster);
    // Declared already: reads go on from what is stored, and the memory stays for whoever wants to thaw. What another server
    // declared, for a reason of its own, does not say what this one knows to be lost.
    if (cluster.state === 'sealed') return;
    if (cluster.state === 'recovering' && this.#memory.isDeclared) return this.#memory.declared(cluster);
    const lost = await this.signedButLost();
    if (this.#memory.wasConfirmed(cluster)) {
      if (lost === undefined) {
        this.#memory.forget();
        return this.#consistent(snapshot);
      }
      throw await this.declare(
        'sealed',
        'LOG_FORKED',
        `this server signed size ${lost.size}, which the confirmed log lacks`,
      );
    }
    if (head.size < acknowledged.size) {
      const reason = `the stored log ends at size ${head.size}, but size ${acknowledged.size} was acknowledged`;
      throw await this.#declareLoss('recovering', 'LOG_ROLLED_BACK', reason);
    }
    const reason = `the stored log has another root at size ${acknowledged.size} than the one that was acknowledged`;
    throw await this.#declareLoss(lost === undefined ? 'recovering' : 'sealed', 'LOG_FORKED', reason);
  }

  async #declareLoss(...evidence: Parameters<ClusterLog['declare']>): Promise<NotaryError> {
    const error = await this.declare(...evidence);
    if (this.state === 'recovering') this.#memory.declared(this.cluster);
    return error;
  }

  async #contains({ size, root }: Pick<Head, 'size' | 'root'>): Promise<boolean> {
    return size <= this.#tail.size && equalHashes(await this.rootAt(size), root);
  }

  #consistent({ cluster }: LogSnapshot): void {
    this.#memory.agree(cluster);
    this.#agrees = true;
  }

  /** Starts over from the stored rows, forgetting everything that was cached of them. */
  async #replaceView(snapshot: LogSnapshot): Promise<void> {
    this.#dependencies.reader.forget(this.clusterId);
    const edge = await loadStoredEdge(this.#dependencies, snapshot, this.keys);
    this.#edge = edge;
    this.#tail = snapshot.head;
    this.#lastCreatedAtMs = snapshot.lastCreatedAtMs;
    this.#agrees = false;
    this.#durable = undefined;
    this.#checkpoints.clear();
  }

  async #confirm(): Promise<void> {
    const tail = this.#tail;
    const edge = this.#edge;
    // What was seen may be gone with the database that showed it.
    if (!(await this.#dependencies.storage.confirmDurable(this.clusterId, tail))) return this.refresh();
    // Another edge is another view, which need not contain what was seen before.
    if (this.#edge === edge) this.#acknowledge(tail);
  }

  #acknowledge(head: Head): void {
    if (head.size <= this.#tail.size && (this.#durable === undefined || this.#durable.size < head.size))
      this.#durable = head;
    this.#memory.acknowledge(head);
  }

  #corrupt(what: string): NotaryError {
    return logCorrupt(this.#dependencies.logger, this.clusterId, what);
  }
}
