import { expect } from '@jest/globals';
import type { Anchor } from '#gen/quartermaster/v1/notary_pb.js';
import { parseRecord } from '../../src/record/index.ts';
import { type VerifiedCheckpoint, verifyCheckpointConsistency } from '../../src/verify/index.ts';
import type { Anchored, CarefulCaller } from './careful-caller.ts';
import type { ClusterOutcome, Outcome } from './concurrent-load.ts';
import type { Clients } from './notary-under-test.ts';

type Answered = Extract<Outcome['result'], { kind: 'answered' }>;

/**
 * Holds what the callers of one log were told to what the log has become. Reads come from all replicas in turn.
 *
 * @returns by log_index, which replica wrote the entry
 */
export async function auditLog(
  replicas: readonly Clients[],
  { caller, outcomes }: ClusterOutcome,
): Promise<readonly number[]> {
  // A list may be a second behind what another replica wrote; a checkpoint is the newest, and the lists after it are.
  const { size } = await caller.checkpoint(replicas[0]!);
  const anchors = await listAnchors(replicas[0]!, caller);
  expect(anchors).toHaveLength(size);
  expect(anchors.map(({ logIndex }) => Number(logIndex))).toEqual(anchors.map((_, i) => i));

  expectOneAnchorEachRequestId(outcomes);
  const answered = outcomes.flatMap(({ result }) => (result.kind === 'answered' ? [result.anchored] : []));
  // Each answered anchor is in the log, once, and nothing else is.
  const told = new Map(answered.map(({ verified, response }) => [verified.logIndex, response.record]));
  expect(new Set(answered.map(({ verified }) => verified.anchorId)).size).toBe(told.size);
  expect(anchors.map(({ record }) => record)).toEqual(anchors.map((_, i) => told.get(i)));
  expect(told.size).toBe(anchors.length);

  const times = anchors.map(({ record }) => createdAtMs(record));
  expect(times).toEqual([...times].sort((a, b) => a - b));

  await expectProvable(replicas, caller, answered);
  await expectConsistent(replicas, caller, checkpointsOf(outcomes));
  return writersOf(outcomes);
}

/** Of the calls with one request id one made the anchor, the others of the same content got it again, the rest were refused. */
export function expectOneAnchorEachRequestId(outcomes: readonly Outcome[]): void {
  const groups = Map.groupBy(outcomes, ({ call }) => call.request);
  for (const { result } of groups.get(undefined) ?? []) {
    expect(result).toMatchObject({ kind: 'answered', anchored: { response: { replayed: false } } });
  }
  groups.delete(undefined);
  for (const group of groups.values()) {
    const made = group.filter(
      ({ result }) => result.kind === 'answered' && !result.anchored.response.replayed,
    );
    expect(made).toHaveLength(1);
    const [{ content, result } = made[0]!] = made;
    const { record } = (result as Answered).anchored.response;
    for (const other of group) {
      expect(other.result).toMatchObject(
        other.content === content
          ? { kind: 'answered', anchored: { response: { record } } }
          : { kind: 'refused', code: 'ALREADY_EXISTS' },
      );
    }
  }
}

async function listAnchors({ notary }: Clients, { clusterId }: CarefulCaller): Promise<Anchor[]> {
  const anchors: Anchor[] = [];
  for (let pageToken = ''; ; ) {
    const page = await notary.listAnchors({ clusterId, pageSize: 7, pageToken });
    anchors.push(...page.anchors);
    pageToken = page.nextPageToken;
    if (pageToken === '') return anchors;
  }
}

function createdAtMs(record: Uint8Array): number {
  const parsed = parseRecord(record);
  if (parsed.kind !== 'anchor') throw new Error(`the entry is a ${parsed.kind}`);
  return parsed.createdAtMs;
}

/** Every leaf of every anchor, verified offline. */
async function expectProvable(
  replicas: readonly Clients[],
  caller: CarefulCaller,
  answered: readonly Anchored[],
): Promise<void> {
  const distinct = new Map(answered.map((anchored) => [anchored.verified.anchorId, anchored])).values();
  await Promise.all(
    [...distinct].flatMap((anchored, i) =>
      Array.from({ length: anchored.verified.leafCount }, async (_, leafIndex) => {
        const verdict = await caller.prove(replicas[(i + leafIndex) % replicas.length]!, anchored, leafIndex);
        expect(verdict.logIndex).toBe(anchored.verified.logIndex);
      }),
    ),
  );
}

function checkpointsOf(outcomes: readonly Outcome[]): VerifiedCheckpoint[] {
  const bySize = new Map<number, VerifiedCheckpoint>();
  for (const { result } of outcomes) {
    if (result.kind !== 'answered') continue;
    const { checkpoint } = result.anchored.verified;
    // One size, one root, whoever signed it.
    expect((bySize.get(checkpoint.size) ?? checkpoint).root).toEqual(checkpoint.root);
    bySize.set(checkpoint.size, checkpoint);
  }
  return [...bySize.values()].sort((a, b) => a.size - b.size);
}

/** Every pair of checkpoints that were handed out. */
async function expectConsistent(
  replicas: readonly Clients[],
  { clusterId }: CarefulCaller,
  checkpoints: readonly VerifiedCheckpoint[],
): Promise<void> {
  const pairs = checkpoints.flatMap((older, i) =>
    checkpoints.slice(i).map((newer) => [older, newer] as const),
  );
  await Promise.all(
    pairs.map(async ([older, newer], i) => {
      const { consistencyPath } = await replicas[i % replicas.length]!.notary.getConsistencyProof({
        clusterId,
        firstSize: BigInt(older.size),
        secondSize: BigInt(newer.size),
      });
      verifyCheckpointConsistency(older, newer, consistencyPath);
    }),
  );
}

function writersOf(outcomes: readonly Outcome[]): readonly number[] {
  const writers: number[] = [];
  for (const { call, result } of outcomes) {
    if (result.kind !== 'answered' || result.anchored.response.replayed) continue;
    writers[result.anchored.verified.logIndex] = call.replica;
  }
  return writers;
}
