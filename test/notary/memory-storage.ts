import {
  type AppendGroup,
  type AppendOutcome,
  type BatchRange,
  type Entry,
  type EntryOfCluster,
  type Head,
  type LockedLog,
  type LockedQuestion,
  type LogTileRange,
  MAX_CATCH_UP,
  type NewCluster,
  type StateChange,
  type Storage,
  type StoredBatch,
} from '../../src/notary/storage.ts';
import type { MemoryDatabase } from './memory-database.ts';

type Method = Exclude<keyof Storage, never>;
type Around<M extends Method> = (
  proceed: () => ReturnType<Storage[M]>,
  ...given: Parameters<Storage[M]>
) => ReturnType<Storage[M]>;

/** The row locks of clusters: appends and confirmations share, locked appends and changes of state exclude. */
export class RowLocks {
  readonly #tails = new Map<string, Promise<void>>();

  /** Runs `work` alone among the holders of this cluster's lock. */
  async hold<T>(clusterId: string, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(clusterId) ?? Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(
      clusterId,
      before.then(() => promise),
    );
    await before;
    try {
      return await work();
    } finally {
      resolve();
    }
  }
}

const locksOf = new WeakMap<MemoryDatabase, RowLocks>();

/**
 * One replica's connection to a `MemoryDatabase`. `around` is the seam for faults: what it is given decides whether and when
 * a call goes on, and what is answered.
 */
export class MemoryStorage implements Storage {
  readonly calls: { readonly method: Method; readonly given: readonly unknown[] }[] = [];
  readonly #database: MemoryDatabase;
  readonly #locks: RowLocks;
  /** The way to the database and back. */
  readonly #travel: () => Promise<void>;
  readonly #arounds = new Map<Method, Around<Method>[]>();

  constructor(database: MemoryDatabase, travel: () => Promise<void> = async () => undefined) {
    this.#database = database;
    this.#travel = travel;
    const locks = locksOf.get(database) ?? new RowLocks();
    locksOf.set(database, locks);
    this.#locks = locks;
  }

  /** Wraps a method until the returned function is called. The last one given is the outermost. */
  around<M extends Method>(method: M, around: Around<M>): () => void {
    const arounds = this.#arounds.get(method) ?? [];
    this.#arounds.set(method, arounds);
    const added = around as unknown as Around<Method>;
    arounds.push(added);
    return () => {
      arounds.splice(arounds.indexOf(added), 1);
    };
  }

  /** Wraps the next call of a method only. */
  once<M extends Method>(method: M, around: Around<M>): void {
    const remove = this.around(method, (proceed, ...given) => {
      remove();
      return around(proceed, ...given);
    });
  }

  /** The next call of a method waits at its door until the gate is resolved. */
  hold<M extends Method>(method: M): { resolve(): void } {
    const gate = Promise.withResolvers<void>();
    const waiting = async (proceed: () => Promise<unknown>) => {
      await gate.promise;
      return proceed();
    };
    this.once(method, waiting as unknown as Around<M>);
    return { resolve: () => gate.resolve() };
  }

  /** Ends all faults. */
  heal(): void {
    this.#arounds.clear();
  }

  callsOf(method: Method): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  get appends(): readonly AppendGroup[] {
    return this.calls.flatMap(({ method, given }) => (method === 'append' ? [given[0] as AppendGroup] : []));
  }

  createCluster(genesis: NewCluster) {
    return this.#call('createCluster', [genesis], () => this.#database.createCluster(genesis));
  }

  readCluster(clusterId: string) {
    return this.#call('readCluster', [clusterId], () => this.#database.logs.get(clusterId)?.cluster);
  }

  listClusters(afterClusterId: string | undefined, limit: number) {
    return this.#call('listClusters', [afterClusterId, limit], () =>
      [...this.#database.logs.values()]
        .map(({ cluster }) => cluster)
        .filter(({ clusterId }) => afterClusterId === undefined || clusterId > afterClusterId)
        .sort((a, b) => (a.clusterId < b.clusterId ? -1 : 1))
        .slice(0, limit),
    );
  }

  readKeys(clusterId: string) {
    return this.#call('readKeys', [clusterId], () => this.#database.log(clusterId).keys);
  }

  changeState(change: StateChange) {
    return this.#call('changeState', [change], () =>
      this.#locks.hold(change.clusterId, async () => this.#database.changeState(change)),
    );
  }

  readLog(clusterId: string) {
    return this.#call('readLog', [clusterId], () => this.#database.snapshot(clusterId));
  }

  readHead(clusterId: string, size: number) {
    return this.#call('readHead', [clusterId, size], () =>
      this.#database.headOf(this.#database.log(clusterId), size),
    );
  }

  readHeadAfter(clusterId: string, prevSize: number) {
    return this.#call('readHeadAfter', [clusterId, prevSize], () =>
      this.#database.headsOf(clusterId).find((head) => head.prevSize === prevSize),
    );
  }

  confirmDurable(clusterId: string, head: Pick<Head, 'size' | 'root'>) {
    return this.#call('confirmDurable', [clusterId, head], () =>
      this.#locks.hold(clusterId, async () => {
        this.#database.makeDurable();
        return this.#database.isDurable(clusterId, head.size, head.root);
      }),
    );
  }

  readLogTiles(clusterId: string, ranges: readonly LogTileRange[]) {
    return this.#call('readLogTiles', [clusterId, ranges], () =>
      this.#database.readLogTiles(clusterId, ranges),
    );
  }

  append(group: AppendGroup): Promise<AppendOutcome> {
    return this.#call('append', [group], () =>
      this.#locks.hold(group.clusterId, async () => this.#database.append(group)),
    );
  }

  appendLocked(
    clusterId: string,
    wanted: LockedQuestion,
    build: (locked: LockedLog) => AppendGroup | undefined,
  ): Promise<AppendOutcome> {
    return this.#call('appendLocked', [clusterId, wanted, build], () =>
      this.#locks.hold(clusterId, async (): Promise<AppendOutcome> => {
        const snapshot = this.#database.snapshot(clusterId);
        const nothing = { kind: 'refused', knownRequestIds: [] } as const;
        if (snapshot === undefined) return nothing;
        const newer = this.#database
          .entriesOf(clusterId)
          .filter(({ logIndex }) => logIndex >= wanted.fromSize)
          .slice(0, MAX_CATCH_UP);
        const known = this.#byRequestId(clusterId, wanted.requestIds);
        const locked = {
          ...snapshot,
          newRecordHashes: new Uint8Array(Buffer.concat(newer.map(({ recordHash }) => recordHash))),
          knownRequestIds: new Set(known.flatMap(({ requestId }) => requestId ?? [])),
        };
        await this.#travel();
        const group = build(locked);
        await this.#travel();
        return group === undefined ? nothing : this.#database.append(group);
      }),
    );
  }

  storeBatch(clusterId: string, batch: StoredBatch, signal: AbortSignal) {
    return this.#call('storeBatch', [clusterId, batch, signal], () =>
      this.#database.storeBatch(clusterId, batch),
    );
  }

  findEntry(anchorId: string, clusterId: string | undefined) {
    return this.#call('findEntry', [anchorId, clusterId], (): EntryOfCluster | undefined => {
      const ids = clusterId === undefined ? [...this.#database.logs.keys()] : [clusterId];
      return ids
        .flatMap((id) => this.#database.entriesOf(id).map((entry) => ({ ...entry, clusterId: id })))
        .find((entry) => entry.anchorId === anchorId);
    });
  }

  findEntries(clusterId: string, anchorIds: readonly string[]) {
    return this.#call('findEntries', [clusterId, anchorIds], () =>
      this.#database
        .entriesOf(clusterId)
        .filter(({ anchorId }) => anchorId !== undefined && anchorIds.includes(anchorId)),
    );
  }

  findEntriesByRequestId(clusterId: string, requestIds: readonly string[]) {
    return this.#call('findEntriesByRequestId', [clusterId, requestIds], () =>
      this.#byRequestId(clusterId, requestIds),
    );
  }

  listEntries(clusterId: string, fromLogIndex: number, limit: number) {
    return this.#call('listEntries', [clusterId, fromLogIndex, limit], () =>
      this.#database
        .entriesOf(clusterId)
        .filter(({ logIndex }) => logIndex >= fromLogIndex)
        .slice(0, limit),
    );
  }

  firstLogIndexSince(clusterId: string, createdAtMs: number) {
    return this.#call(
      'firstLogIndexSince',
      [clusterId, createdAtMs],
      () => this.#database.entriesOf(clusterId).find((entry) => entry.createdAtMs >= createdAtMs)?.logIndex,
    );
  }

  readBatchRanges(clusterId: string, ranges: readonly BatchRange[]) {
    return this.#call('readBatchRanges', [clusterId, ranges], () =>
      this.#database.readBatchRanges(clusterId, ranges),
    );
  }

  listHeads(clusterId: string, afterSize: number | undefined, limit: number) {
    return this.#call('listHeads', [clusterId, afterSize, limit], () =>
      this.#database
        .headsOf(clusterId)
        .filter(({ size }) => afterSize === undefined || size > afterSize)
        .slice(0, limit),
    );
  }

  ping() {
    return this.#call('ping', [], () => undefined);
  }

  #byRequestId(clusterId: string, requestIds: readonly string[]): Entry[] {
    return this.#database
      .entriesOf(clusterId)
      .filter(({ requestId }) => requestId !== undefined && requestIds.includes(requestId));
  }

  #call<M extends Method, R>(
    method: M,
    given: Parameters<Storage[M]>,
    work: () => R | Promise<R>,
  ): Promise<R> {
    this.calls.push({ method, given });
    let proceed = async (): Promise<unknown> => {
      await this.#travel();
      const result = await work();
      await this.#travel();
      return result;
    };
    for (const around of this.#arounds.get(method) ?? []) {
      const inner = proceed;
      const wrapped = around as unknown as (
        proceed: () => Promise<unknown>,
        ...given: unknown[]
      ) => Promise<unknown>;
      proceed = () => wrapped(inner, ...given);
    }
    return proceed() as Promise<R>;
  }
}
