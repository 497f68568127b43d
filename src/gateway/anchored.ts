// What the application is told when its leaves are anchored.

import { fastHasher } from '../merkle/fast.ts';
import { formatTlogProof } from '../note/index.ts';
import type { Receipt } from '../verify/index.ts';
import { BatchPaths } from './batch-paths.ts';
import type { SealedBatch } from './outbox.ts';
import type { AcceptedAnchor } from './trust.ts';

const LEAF_SIZE = 32;

/** One leaf that the notary has anchored. */
export interface AnchoredLeaf {
  /** as given to `submit` */
  readonly eventId: string | undefined;
  /** UUIDv7; with `leafIndex` it names the leaf for ever */
  readonly anchorId: string;
  /** position in the batch, from 0 */
  readonly leafIndex: number;
  /** Whether the answer was verified against pinned keys. Without them it is what the notary says. */
  readonly verified: boolean;
  /** All that is needed to verify the leaf offline; computed when it is first asked for. */
  readonly receipt: Receipt;
  /** The receipt as the text of a `.tlog-proof` file (c2sp.org/tlog-proof). */
  toTlogProof(): string;
}

/** One batch that the notary has anchored, as `onAnchored` is told. Iterating it gives its leaves in order. */
export class AnchoredBatch implements Iterable<AnchoredLeaf> {
  readonly #batch: SealedBatch;
  readonly #anchor: AcceptedAnchor;
  readonly #paths: BatchPaths;

  /** @internal */
  constructor(batch: SealedBatch, anchor: AcceptedAnchor) {
    this.#batch = batch;
    this.#anchor = anchor;
    this.#paths = new BatchPaths(fastHasher, batch.packedLeaves);
  }

  /** UUID of the request: the same again means the same anchor, told a second time after a crash. */
  get requestId(): string {
    return this.#batch.requestId;
  }

  /** UUIDv7 of the anchor. */
  get anchorId(): string {
    return this.#anchor.anchorId;
  }

  /** UUID of the cluster in whose log the anchor is. */
  get clusterId(): string {
    return this.#anchor.clusterId;
  }

  /** Position of the anchor's record in the log, from 0. */
  get logIndex(): number {
    return this.#anchor.logIndex;
  }

  /** The signed note that proves it. */
  get checkpoint(): string {
    return this.#anchor.proof.checkpoint;
  }

  /** Whether the answer was verified against pinned keys. */
  get verified(): boolean {
    return this.#anchor.verified;
  }

  /** Number of leaves, 1 or more. */
  get leafCount(): number {
    return this.#batch.sequences.length;
  }

  /** Event ids as given to `submit`, by leaf index. */
  get eventIds(): readonly (string | undefined)[] {
    return this.#batch.eventIds;
  }

  /** @param leafIndex from 0, below `leafCount` */
  leaf(leafIndex: number): AnchoredLeaf {
    if (!(Number.isInteger(leafIndex) && leafIndex >= 0 && leafIndex < this.leafCount)) {
      throw new RangeError(`leaf ${leafIndex} is not in a batch of ${this.leafCount}`);
    }
    return new LeafOfBatch(this.#batch, this.#anchor, this.#paths, leafIndex);
  }

  *[Symbol.iterator](): Iterator<AnchoredLeaf> {
    for (let leafIndex = 0; leafIndex < this.leafCount; leafIndex++) yield this.leaf(leafIndex);
  }
}

class LeafOfBatch implements AnchoredLeaf {
  readonly #batch: SealedBatch;
  readonly #anchor: AcceptedAnchor;
  readonly #paths: BatchPaths;
  readonly leafIndex: number;

  constructor(batch: SealedBatch, anchor: AcceptedAnchor, paths: BatchPaths, leafIndex: number) {
    this.#batch = batch;
    this.#anchor = anchor;
    this.#paths = paths;
    this.leafIndex = leafIndex;
  }

  get eventId(): string | undefined {
    return this.#batch.eventIds[this.leafIndex];
  }

  get anchorId(): string {
    return this.#anchor.anchorId;
  }

  get verified(): boolean {
    return this.#anchor.verified;
  }

  get receipt(): Receipt {
    const { leafIndex } = this;
    const { record, recordPath, checkpoint } = this.#anchor.proof;
    const leaf = this.#batch.packedLeaves.slice(leafIndex * LEAF_SIZE, (leafIndex + 1) * LEAF_SIZE);
    const leafPath = this.#paths.pathOf(leafIndex);
    return { leaf, leafIndex, leafPath, record, logIndex: this.#anchor.logIndex, recordPath, checkpoint };
  }

  toTlogProof(): string {
    return formatTlogProof(this.receipt);
  }
}
