import type { AnchoringNotary, AnchoringRequest } from '../../src/cli/anchoring/anchor-file.ts';
import { parseCheckpoint } from '../../src/note/index.ts';
import { naiveConsistencyPath, naiveInclusionPath } from '../verify/naive-tree.ts';
import { TestLog } from '../verify/test-log.ts';

export const CLUSTER = '0198c7a0-5f6e-4d2c-9b1a-3e4f5a6b7c8d';

type Answer = Awaited<ReturnType<AnchoringNotary['createAnchor']>>;

/** A notary in memory that keeps its promises: one anchor for one request id. Trees and signatures are real. */
export class MemoryNotary implements AnchoringNotary {
  readonly log: TestLog;
  /** Every leaf that was ever anchored, hex, in order: what must hold each line once. */
  readonly leaves: string[] = [];
  readonly #byRequest = new Map<string, { readonly logIndex: number; readonly packed: string }>();
  maxLeafCount = 1_000_000;
  /** Called before the batch is anchored, and with the answer before it is given. */
  onCall: (phase: 'before' | 'after', answer?: Answer) => void = () => {};

  constructor(seedByte = 7, clusterId = CLUSTER) {
    this.log = new TestLog(clusterId, seedByte);
  }

  async getLog() {
    return { vkeys: [this.log.vkey], maxLeafCount: this.maxLeafCount };
  }

  async createAnchor(request: AnchoringRequest): Promise<Answer> {
    this.onCall('before');
    const known = this.#byRequest.get(request.requestId);
    const packed = Buffer.from(request.packedLeaves).toString('hex');
    if (known !== undefined && known.packed !== packed) throw new Error('ALREADY_EXISTS');
    const leaves = packed.match(/.{64}/g) ?? [];
    const logIndex =
      known?.logIndex ??
      this.log.append(
        leaves.map((leaf) => new Uint8Array(Buffer.from(leaf, 'hex'))),
        { requestId: request.requestId },
      );
    if (known === undefined) {
      this.#byRequest.set(request.requestId, { logIndex, packed });
      this.leaves.push(...leaves);
    }
    const answer = this.#answer(logIndex, leaves.length, request.knownCheckpoint, known !== undefined);
    this.onCall('after', answer);
    return answer;
  }

  #answer(logIndex: number, leafCount: number, knownCheckpoint: string, replayed: boolean): Answer {
    const { entries } = this.log;
    const record = entries[logIndex]!;
    const knownSize = knownCheckpoint === '' ? 0 : parseCheckpoint(knownCheckpoint).checkpoint.size;
    return {
      anchorId: (JSON.parse(new TextDecoder().decode(record)) as { anchor_id: string }).anchor_id,
      leafCount,
      leafIndices: [],
      record,
      logIndex,
      checkpoint: this.log.checkpoint(),
      recordPath: naiveInclusionPath(logIndex, entries),
      consistencyPath:
        knownSize === 0 || knownSize > entries.length ? [] : naiveConsistencyPath(knownSize, entries),
      replayed,
    };
  }
}
