import type { TreeHasher } from '../merkle/index.ts';
import { formatAnchorRecord } from '../record/index.ts';
import type { EdgeExtension, LogEdge } from './log-edge.ts';
import type { LogKeys } from './log-keys.ts';
import type { AppendGroup, Entry, Head, StoredBatch } from './storage.ts';

/** An anchor before it has a place in the log. Its id stays when its attempt is made anew. */
export interface UnplacedAnchor {
  readonly anchorId: string;
  readonly leafCount: number;
  readonly root: Uint8Array;
  readonly etcdRevision: bigint;
  readonly requestId: string | undefined;
  readonly submitter: string | undefined;
  /** undefined where the leaves are stored already. */
  readonly batch: StoredBatch | undefined;
}

/** One append with all its bytes fixed, so that sending it again can only ever be the same append. */
export interface Attempt {
  readonly group: AppendGroup;
  readonly extension: EdgeExtension;
  readonly lastCreatedAtMs: number;
}

export interface AttemptInput {
  readonly clusterId: string;
  readonly anchors: readonly UnplacedAnchor[];
  readonly head: Head;
  readonly edge: LogEdge;
  readonly lastCreatedAtMs: number | undefined;
  readonly nowMs: number;
  readonly keys: LogKeys;
  readonly hasher: TreeHasher;
}

/** Gives anchors their places after `head`: records, indexes, the next root and its mac. */
export function makeAttempt(input: AttemptInput): Attempt {
  const { clusterId, anchors, head, hasher } = input;
  // The clock of another replica may be ahead: within one log time never goes back.
  const createdAtMs = Math.max(input.nowMs, input.lastCreatedAtMs ?? 0);
  const entries = anchors.map((anchor, i): Entry => {
    const record = formatAnchorRecord({
      anchorId: anchor.anchorId,
      clusterId,
      leafCount: anchor.leafCount,
      root: anchor.root,
      etcdRevision: anchor.etcdRevision,
      createdAtMs,
      ...(anchor.requestId === undefined ? {} : { requestId: anchor.requestId }),
      ...(anchor.submitter === undefined ? {} : { submitter: anchor.submitter }),
    });
    return {
      logIndex: head.size + i,
      anchorId: anchor.anchorId,
      leafCount: anchor.leafCount,
      root: anchor.root,
      requestId: anchor.requestId,
      record,
      recordHash: hasher.leafHash(record),
      createdAtMs,
    };
  });
  const batches = anchors.flatMap(({ batch }) => (batch === undefined ? [] : [batch]));
  const storedBatches = anchors.flatMap(({ batch, anchorId }) => (batch === undefined ? [anchorId] : []));
  return attemptOf(input, { entries, batches, storedBatches }, createdAtMs);
}

/** The same for entries that are made already: the succession record of a new log. */
export function attemptOf(
  { clusterId, head, edge, keys }: Pick<AttemptInput, 'clusterId' | 'head' | 'edge' | 'keys'>,
  content: Pick<AppendGroup, 'entries' | 'batches' | 'storedBatches'>,
  lastCreatedAtMs: number,
): Attempt {
  const extension = edge.extend(content.entries.map(({ recordHash }) => recordHash));
  const unsealed = {
    size: extension.newSize,
    root: extension.root,
    prevSize: head.size,
    prevRoot: head.root,
  };
  const newHead: Head = { ...unsealed, mac: keys.mac(unsealed), epoch: keys.epoch };
  const group = { clusterId, oldHead: head, newHead, ...content, logNodes: extension.logNodes };
  return { group, extension, lastCreatedAtMs };
}
