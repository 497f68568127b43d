// Each way in which a notary can answer CreateAnchor wrongly, one at a time.

import type { AnchorRecord } from '../../src/record/index.ts';
import type { AnchorResponse, VerificationErrorCode } from '../../src/verify/index.ts';
import { recordOf, SignedLog, successorOf } from './signed-log.ts';

export type Answer = AnchorResponse & { readonly replayed: boolean };

/** What a notary knows when it answers. */
export interface Question {
  /** The honest log before the answer. A lie is told on a branch of it. */
  readonly log: SignedLog;
  /** size of the checkpoint that was presented; undefined for none, or another log's */
  readonly knownSize: number | undefined;
  readonly leaves: readonly Uint8Array[];
  readonly etcdRevision: bigint;
  readonly requestId: string;
}

export interface Lie {
  /** what it is caught by; several where it depends on what the batches are */
  readonly codes: readonly VerificationErrorCode[];
  /** Whether it is noticed without a key, as a fault would be. */
  readonly isNoticedWithoutKeys: boolean;
  readonly answer: (question: Question) => Answer;
}

/** The entry for this batch at the end of a log, and the answer that proves it. */
export function honestly(question: Question, log = question.log, fields: Partial<AnchorRecord> = {}): Answer {
  const { leaves, etcdRevision, requestId } = question;
  const record = recordOf(log.clusterId, leaves, { etcdRevision, requestId, ...fields });
  return proven(question, log.with(record), log.size);
}

/** The answer for an entry that is there. */
export function proven({ knownSize, leaves }: Question, log: SignedLog, logIndex: number): Answer {
  const record = log.entries[logIndex]!;
  return {
    anchorId: (JSON.parse(new TextDecoder().decode(record)) as { anchor_id: string }).anchor_id,
    leafCount: leaves.length,
    leafIndices: [],
    record,
    logIndex,
    checkpoint: log.checkpoint(),
    recordPath: log.recordPath(logIndex),
    consistencyPath: knownSize === undefined || knownSize > log.size ? [] : log.consistencyPath(knownSize),
    replayed: false,
  };
}

const decoy = (log: SignedLog) => recordOf(log.clusterId, [new Uint8Array(32).fill(0xdd)]);
const strangerId = '5f9619ff-8b86-4011-b42d-00c04fc964ff';
const STRANGERS_SEED = 77;

const fault = (code: VerificationErrorCode, answer: Lie['answer']): Lie => ({
  codes: [code],
  isNoticedWithoutKeys: true,
  answer,
});
const deceit = (code: VerificationErrorCode, answer: Lie['answer']): Lie => ({
  codes: [code],
  isNoticedWithoutKeys: false,
  answer,
});

export const LIES = {
  'another root': fault('ROOT_MISMATCH', (q) => honestly(q, q.log, { root: new Uint8Array(32).fill(9) })),
  'another leaf count': fault('LEAF_COUNT_MISMATCH', (q) =>
    honestly(q, q.log, { leafCount: q.leaves.length + 1 }),
  ),
  'another leaf count beside the record': fault('LEAF_COUNT_MISMATCH', (q) => ({
    ...honestly(q),
    leafCount: q.leaves.length + 1,
  })),
  'other leaf indices': fault('LEAF_INDEX_MISMATCH', (q) => ({
    ...honestly(q),
    leafIndices: q.leaves.map((_, position) => position + 1),
  })),
  'another revision': fault('REVISION_MISMATCH', (q) =>
    honestly(q, q.log, { etcdRevision: q.etcdRevision + 1n }),
  ),
  'another anchor id beside the record': fault('ANCHOR_MISMATCH', (q) => ({
    ...honestly(q),
    anchorId: strangerId,
  })),
  'another request': fault('REQUEST_ID_MISMATCH', (q) => honestly(q, q.log, { requestId: strangerId })),
  'the answer to another batch': {
    codes: ['REQUEST_ID_MISMATCH', 'LEAF_COUNT_MISMATCH'],
    isNoticedWithoutKeys: true,
    answer: (q) => {
      const leafCount = Number(/"leaf_count":"(\d+)"/.exec(new TextDecoder().decode(q.log.entries[0]))?.[1]);
      return { ...proven(q, q.log, 0), leafCount, replayed: true };
    },
  },
  'another log index': fault('RECORD_PATH', (q) => {
    const answer = honestly(q);
    return { ...answer, logIndex: answer.logIndex - 1 };
  }),
  'a log index past the end': fault('LOG_INDEX_OUT_OF_RANGE', (q) => {
    const answer = honestly(q);
    return { ...answer, logIndex: answer.logIndex + 1 };
  }),
  'a record that is not in the log': fault('RECORD_PATH', (q) => {
    const log = q.log.with(decoy(q.log));
    return { ...honestly(q), checkpoint: log.checkpoint(), recordPath: log.recordPath(q.log.size) };
  }),
  'a record path that is damaged': fault('RECORD_PATH', (q) => {
    const answer = honestly(q);
    return { ...answer, recordPath: answer.recordPath.map((hash) => hash.map((byte) => byte ^ 1)) };
  }),
  'no record': fault('BAD_RECORD', (q) => ({ ...honestly(q), record: new Uint8Array() })),
  'a checkpoint that is none': fault('BAD_CHECKPOINT', (q) => ({ ...honestly(q), checkpoint: 'trust me\n' })),
  "another cluster's record": fault('CLUSTER_MISMATCH', (q) => honestly(q, q.log, { clusterId: strangerId })),
  "another cluster's log": deceit('ORIGIN_MISMATCH', (q) =>
    honestly({ ...q, knownSize: undefined }, new SignedLog(strangerId, [STRANGERS_SEED])),
  ),
  'a successor that is not pinned': deceit('ORIGIN_MISMATCH', (q) =>
    honestly({ ...q, knownSize: undefined }, successorOf(q.log, strangerId, STRANGERS_SEED)),
  ),
  'another key': deceit('UNKNOWN_KEY', (q) => honestly(q, q.log.signedBy(STRANGERS_SEED))),
  'a bad signature': deceit('BAD_SIGNATURE', (q) => {
    const answer = honestly(q);
    const other = q.log.with(decoy(q.log)).checkpoint();
    const signature = other.slice(other.indexOf('\n\n'));
    return {
      ...answer,
      checkpoint: answer.checkpoint.slice(0, answer.checkpoint.indexOf('\n\n')) + signature,
    };
  }),
  'a log whose past was rewritten': deceit('CONSISTENCY_PATH', (q) => {
    const [, ...rest] = q.log.entries;
    return honestly(q, new SignedLog(q.log.clusterId, q.log.seedBytes, [decoy(q.log), ...rest]));
  }),
  'a shrunken log': deceit('SIZE_SHRANK', (q) => honestly(q, q.log.upTo(q.log.size - 2))),
  'a shrunken log that has grown again': deceit('CONSISTENCY_PATH', (q) =>
    honestly(q, q.log.upTo(q.log.size - 1)),
  ),
  'no consistency path': deceit('CONSISTENCY_PATH', (q) => ({ ...honestly(q), consistencyPath: [] })),
  'another consistency path': deceit('CONSISTENCY_PATH', (q) => {
    const answer = honestly(q);
    return { ...answer, consistencyPath: answer.consistencyPath.map((hash) => hash.map((byte) => byte ^ 1)) };
  }),
} satisfies Record<string, Lie>;

export type LieName = keyof typeof LIES;

/** Two branches after what is known: each answer is in order on its own, and both together are a fork. */
export const BRANCHES = {
  'of another size': (q: Question) => honestly(q, q.log.upTo(q.knownSize ?? 0).with(decoy(q.log))),
  'of the same size': (q: Question) => honestly(q, q.log.upTo(q.knownSize ?? 0)),
} as const;
