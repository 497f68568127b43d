import { NotaryError } from '../../src/notary/error.ts';
import type * as service from '../../src/notary/service.ts';
import type { Cluster, EntryOfCluster } from '../../src/notary/storage.ts';
import { formatAnchorRecord } from '../../src/record/index.ts';

export const CLUSTER = '6f9619ff-8b86-4011-b42d-00c04fc964ff';
export const ANCHOR = '01890a5d-ac96-774b-bcce-b302099a8057';
export const CREATED_AT_MS = 1_700_000_000_123;

/** What the fake does instead, by method. */
export type Overrides = Partial<service.Notary> & Partial<service.Registry>;

/** A notary that remembers what it was asked, and answers the same to everybody. */
export class FakeNotary implements service.Notary, service.Registry {
  readonly submissions: service.Submission[] = [];
  readonly asked: unknown[][] = [];
  readonly events: string[] = [];
  #overrides: Overrides;

  constructor(overrides: Overrides = {}) {
    this.#overrides = overrides;
  }

  override(overrides: Overrides): void {
    this.#overrides = { ...this.#overrides, ...overrides };
  }

  async createAnchor(submission: service.Submission): Promise<service.AnchorAnswer> {
    this.submissions.push(submission);
    if (this.#overrides.createAnchor) return this.#overrides.createAnchor(submission);
    return anchorAnswer(submission);
  }

  async getAnchor(anchorId: string, clusterId: string | undefined): Promise<EntryOfCluster> {
    this.asked.push(['getAnchor', anchorId, clusterId]);
    return this.#overrides.getAnchor?.(anchorId, clusterId) ?? entry(0);
  }

  async listAnchors(query: service.AnchorQuery): Promise<service.AnchorPage> {
    this.asked.push(['listAnchors', query]);
    if (this.#overrides.listAnchors) return this.#overrides.listAnchors(query);
    const nextLogIndex = query.fromLogIndex + query.limit;
    return {
      entries: [entry(query.fromLogIndex)],
      nextLogIndex: nextLogIndex < 5_000 ? nextLogIndex : undefined,
    };
  }

  async listLeaves(query: service.LeafQuery): Promise<service.LeafPage> {
    this.asked.push(['listLeaves', query]);
    const nextLeafIndex = query.firstLeafIndex + query.limit;
    return {
      packedLeaves: new Uint8Array(32).fill(7),
      firstLeafIndex: query.firstLeafIndex,
      nextLeafIndex: nextLeafIndex < 200_000 ? nextLeafIndex : undefined,
    };
  }

  async getReceipt(
    reference: service.LeafReference & { readonly clusterId: string | undefined },
    treeSize: number,
  ): Promise<service.Receipt> {
    this.asked.push(['getReceipt', reference, treeSize]);
    if (this.#overrides.getReceipt) return this.#overrides.getReceipt(reference, treeSize);
    return { ...proof(reference), ...recordProof(), checkpoint: 'checkpoint\n' };
  }

  async getReceipts(clusterId: string, references: readonly service.LeafReference[], treeSize: number) {
    this.asked.push(['getReceipts', clusterId, references, treeSize]);
    return { checkpoint: 'checkpoint\n', anchors: [{ ...recordProof(), leaves: references.map(proof) }] };
  }

  async getConsistencyPath(clusterId: string, firstSize: number, secondSize: number) {
    this.asked.push(['getConsistencyPath', clusterId, firstSize, secondSize]);
    return [new Uint8Array(32).fill(5)];
  }

  async getCheckpoint(clusterId: string, treeSize: number): Promise<string> {
    this.asked.push(['getCheckpoint', clusterId, treeSize]);
    return this.#overrides.getCheckpoint?.(clusterId, treeSize) ?? 'checkpoint\n';
  }

  async *watchCheckpoints(clusterId: string, signal: AbortSignal): AsyncIterable<string> {
    this.events.push('watch');
    if (this.#overrides.watchCheckpoints) {
      yield* this.#overrides.watchCheckpoints(clusterId, signal);
      return;
    }
    yield 'checkpoint 1\n';
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    this.events.push('watch ended');
  }

  async getLog(clusterId: string): Promise<service.LogDescription> {
    if (this.#overrides.getLog) return this.#overrides.getLog(clusterId);
    return {
      clusterId,
      origin: `example.com/${clusterId}`,
      keys: [
        { vkey: 'first', firstSize: 0, lastSize: 9 },
        { vkey: 'second', firstSize: 5, lastSize: undefined },
      ],
    };
  }

  async drain(timeoutMs: number): Promise<void> {
    this.events.push('drain');
    await this.#overrides.drain?.(timeoutMs);
  }

  async createCluster(request: service.CreateCluster): Promise<Cluster> {
    this.asked.push(['createCluster', request]);
    return this.#overrides.createCluster?.(request) ?? cluster(request.clusterId ?? CLUSTER);
  }

  async getCluster(clusterId: string): Promise<Cluster> {
    return this.#overrides.getCluster?.(clusterId) ?? cluster(clusterId);
  }

  async listClusters(after: string | undefined, limit: number): Promise<readonly Cluster[]> {
    this.asked.push(['listClusters', after, limit]);
    const all = Array.from({ length: 5 }, (_, index) => cluster(`${CLUSTER.slice(0, -1)}${index}`));
    return all.filter(({ clusterId }) => after === undefined || clusterId > after).slice(0, limit);
  }

  async freezeCluster(clusterId: string, reason: string): Promise<Cluster> {
    return { ...cluster(clusterId), state: 'frozen', stateReason: reason };
  }

  async thawCluster(clusterId: string, reason: string, confirmedCheckpoint: string): Promise<Cluster> {
    this.asked.push(['thawCluster', clusterId, reason, confirmedCheckpoint]);
    if (confirmedCheckpoint === '') throw new NotaryError('THAW_REFUSED', 'the newest checkpoint is needed');
    return cluster(clusterId);
  }
}

export function anchorAnswer(submission: service.Submission): service.AnchorAnswer {
  return {
    anchorId: ANCHOR,
    leafCount: submission.packedLeaves.byteLength / 32,
    record: RECORD,
    logIndex: 3,
    checkpoint: 'checkpoint\n',
    recordPath: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)],
    consistencyPath: [],
    replayed: false,
  };
}

const RECORD = formatAnchorRecord({
  anchorId: ANCHOR,
  clusterId: CLUSTER,
  leafCount: 4,
  root: new Uint8Array(32).fill(9),
  etcdRevision: 17n,
  createdAtMs: CREATED_AT_MS,
});

export function entry(logIndex: number): EntryOfCluster {
  return {
    clusterId: CLUSTER,
    logIndex,
    anchorId: ANCHOR,
    leafCount: 4,
    root: new Uint8Array(32).fill(9),
    requestId: undefined,
    record: RECORD,
    recordHash: new Uint8Array(32),
    createdAtMs: CREATED_AT_MS,
  };
}

function cluster(clusterId: string): Cluster {
  return {
    clusterId,
    displayName: 'Demo',
    origin: `example.com/${clusterId}`,
    state: 'active',
    stateReason: '',
    stateVersion: 1,
    confirmedSize: undefined,
    requestId: undefined,
    predecessorId: undefined,
    successorId: undefined,
    frozenReason: undefined,
    createdAtMs: CREATED_AT_MS,
  };
}

function proof({ leafIndex }: service.LeafReference): service.LeafProof {
  return { leaf: new Uint8Array(32).fill(3), leafIndex, leafPath: [new Uint8Array(32).fill(4)] };
}

function recordProof(): service.RecordProof {
  return { record: RECORD, logIndex: 3, recordPath: [new Uint8Array(32).fill(6)] };
}
