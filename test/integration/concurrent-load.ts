import { randomUUID } from 'node:crypto';
import { type ServiceError, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import type { VerifiedCheckpoint } from '../../src/verify/index.ts';
import { type Anchored, CarefulCaller, leavesNamed } from './careful-caller.ts';
import type { Clients } from './notary-under-test.ts';

const CLUSTERS = 3;
const REQUEST_IDS = 4;
const LARGEST_BATCH = 3;

interface Call {
  readonly replica: number;
  readonly cluster: number;
  /** Which of the cluster's few request ids; undefined for a call without one. */
  readonly request: number | undefined;
  /** Calls with one request id and different content are in conflict. */
  readonly content: number;
  readonly leafCount: number;
  /** Whether to present the newest checkpoint that an earlier wave brought. */
  readonly known: boolean;
}

/** Waves of calls; those of a wave are made all at once. */
export type Load = readonly (readonly Call[])[];

/** Few clusters and fewer request ids, so that calls meet. */
export function arbitraryLoad(replicas: number): fc.Arbitrary<Load> {
  const call = fc.record({
    replica: fc.nat(replicas - 1),
    cluster: fc.nat(CLUSTERS - 1),
    request: fc.option(fc.nat(REQUEST_IDS - 1), { nil: undefined }),
    content: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
    leafCount: fc.integer({ min: 1, max: LARGEST_BATCH }),
    known: fc.boolean(),
  });
  return fc.array(fc.array(call, { minLength: 8, maxLength: 24 }), { minLength: 1, maxLength: 3 });
}

export interface Outcome {
  readonly call: Call;
  /** Same text, same leaves. */
  readonly content: string;
  readonly result:
    | {
        readonly kind: 'answered';
        readonly anchored: Anchored;
        readonly known: VerifiedCheckpoint | undefined;
      }
    | { readonly kind: 'refused'; readonly code: string };
}

export interface ClusterOutcome {
  readonly caller: CarefulCaller;
  readonly outcomes: readonly Outcome[];
}

/** Makes the calls, on new clusters, and verifies every answer as it comes. */
export async function runLoad(
  replicas: readonly Clients[],
  seed: Uint8Array,
  load: Load,
): Promise<readonly ClusterOutcome[]> {
  const clusters = await Promise.all(
    Array.from({ length: CLUSTERS }, async () => ({
      caller: await CarefulCaller.ofNewCluster(replicas[0]!, seed),
      requestIds: Array.from({ length: REQUEST_IDS }, () => randomUUID()),
      outcomes: [] as Outcome[],
    })),
  );
  for (const wave of load) {
    const newest = clusters.map(({ outcomes }) => newestOf(outcomes));
    await Promise.all(
      wave.map(async (call, i) => {
        const { caller, requestIds, outcomes } = clusters[call.cluster]!;
        const content = `${caller.clusterId}/${call.request ?? `none/${outcomes.length}/${i}`}/${call.content}`;
        // A request id stands for one batch, so that its size hangs on it alone.
        const leafCount = call.request === undefined ? call.leafCount : 1 + (call.request % LARGEST_BATCH);
        const requestId = call.request === undefined ? undefined : requestIds[call.request]!;
        const known = call.known ? newest[call.cluster] : undefined;
        const options = {
          ...(requestId === undefined ? {} : { requestId }),
          ...(known === undefined ? {} : { known }),
        };
        const result = await caller
          .anchor(replicas[call.replica]!, leavesNamed(content, leafCount), options)
          .then(
            (anchored) => ({ kind: 'answered', anchored, known }) as const,
            (error: unknown) => ({ kind: 'refused', code: codeOf(error) }) as const,
          );
        outcomes.push({ call, content, result });
      }),
    );
  }
  return clusters;
}

/** @throws what is no status of a call, such as an answer that does not verify */
function codeOf(error: unknown): string {
  const name = status[(error as ServiceError).code];
  if (name === undefined) throw error;
  return name;
}

function newestOf(outcomes: readonly Outcome[]): VerifiedCheckpoint | undefined {
  const checkpoints = outcomes.flatMap(({ result }) =>
    result.kind === 'answered' ? [result.anchored.verified.checkpoint] : [],
  );
  return checkpoints.sort((a, b) => b.size - a.size)[0];
}
