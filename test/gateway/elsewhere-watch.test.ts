import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { AnchoredLeaf } from '../../src/gateway/anchored.ts';
import { ElsewhereWatch } from '../../src/gateway/elsewhere-watch.ts';
import type { LeafHandle } from '../../src/gateway/leaf-handle.ts';
import { LeafHandles } from '../../src/gateway/leaf-handle.ts';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import type { NotaryLink } from '../../src/gateway/notary-link.ts';
import type { SettledElsewhere } from '../../src/gateway/outbox.ts';
import { Trust } from '../../src/gateway/trust.ts';
import type { Receipt } from '../../src/verify/index.ts';
import { callFailed } from './memory-link.ts';
import { CLUSTER_ID, leafOf } from './outbox-contract.ts';
import { VirtualTime } from './virtual-environment.ts';

const RECEIPT: Receipt = {
  leaf: leafOf(1),
  leafIndex: 0,
  leafPath: [],
  record: new Uint8Array(),
  logIndex: 0,
  recordPath: [],
  checkpoint: '',
};

const watches: ElsewhereWatch[] = [];
afterEach(() => {
  for (const watch of watches.splice(0)) watch.end();
});

/** A watch over an outbox that others empty, and a notary that is asked for receipts. */
function watching(settled: ReadonlyMap<number, SettledElsewhere>, getReceipt: NotaryLink['getReceipt']) {
  const time = new VirtualTime();
  const handles = new LeafHandles();
  const link: NotaryLink = {
    createAnchor: () => Promise.reject(callFailed(status.UNIMPLEMENTED)),
    getConsistencyPath: () => Promise.reject(callFailed(status.UNIMPLEMENTED)),
    getReceipt,
    drop() {},
    close() {},
  };
  const asked: number[] = [];
  const outbox = Object.assign(memoryOutbox(), {
    settled: async (sequences: readonly number[]) => {
      asked.push(sequences.length);
      return new Map(sequences.flatMap((n) => (settled.has(n) ? [[n, settled.get(n)!] as const] : [])));
    },
  });
  const watch = new ElsewhereWatch(
    {
      clusterId: CLUSTER_ID,
      outbox,
      flushIntervalMs: 100,
      attemptTimeoutMs: 1_000,
      retry: { minDelayMs: 100, maxDelayMs: 1_000 },
    },
    time.environment(
      () => 0.5,
      () => link,
    ),
    handles,
    link,
    new Trust({ clusterId: CLUSTER_ID, keys: undefined, link }),
  );
  watches.push(watch);
  watch.start();
  return { time, handles, watch, asked };
}

/** What became of the promise of a handle so far. */
function follow({ anchored }: LeafHandle) {
  const outcome: { leaf?: AnchoredLeaf; error?: unknown } = {};
  anchored.then(
    (leaf) => {
      outcome.leaf = leaf;
    },
    (error: unknown) => {
      outcome.error = error;
    },
  );
  return outcome;
}

describe('a leaf that another process brought home', () => {
  // Red when the first failure is the outcome, which it then is for good.
  test('is told as soon as the notary gives its receipt, however often it is away before', async () => {
    let tries = 0;
    const { time, handles } = watching(new Map([[1, { anchorId: 'a', leafIndex: 0 }]]), async () => {
      if (++tries <= 3) throw callFailed(status.UNAVAILABLE);
      return RECEIPT;
    });
    const outcome = follow(handles.add(1, 'event-1', leafOf(1)));
    await time.advanceUntil(() => outcome.leaf !== undefined || outcome.error !== undefined, 60_000);
    expect(outcome.error).toBeUndefined();
    expect(outcome.leaf).toMatchObject({ eventId: 'event-1', anchorId: 'a', leafIndex: 0, verified: false });
    expect(tries).toBe(4);
  });

  // Red when only the own cluster is asked: after a succession its anchors are in the log of another.
  test('is asked for in any cluster where the own one does not have it', async () => {
    const clusters: string[] = [];
    const place = { anchorId: 'a', leafIndex: 0 };
    const { time, handles } = watching(new Map([[1, place]]), async ({ clusterId }) => {
      clusters.push(clusterId);
      if (clusterId !== '' || clusters.length === 2) throw callFailed(status.NOT_FOUND, {});
      return RECEIPT;
    });
    const outcome = follow(handles.add(1, undefined, leafOf(1)));
    await time.advanceUntil(() => outcome.leaf !== undefined || outcome.error !== undefined, 60_000);
    expect(outcome.error).toMatchObject({ code: status.NOT_FOUND });
    expect(clusters).toEqual([CLUSTER_ID, '']);
  });

  // Red when it rejects with what the link says about its own end.
  test('rejects with CLOSED where the gateway is closed before the receipt is there', async () => {
    const { time, handles, watch } = watching(
      new Map([
        [1, { anchorId: 'a', leafIndex: 0 }],
        [2, { anchorId: 'a', leafIndex: 1 }],
      ]),
      (_leaf, { signal }) =>
        new Promise((_resolve, reject) => {
          if (signal.aborted) reject(callFailed(status.CANCELLED));
          signal.addEventListener('abort', () => reject(callFailed(status.CANCELLED)));
        }),
    );
    const early = follow(handles.add(1, undefined, leafOf(1)));
    const late = handles.add(2, undefined, leafOf(2));
    await time.advance(200);
    watch.end();
    await time.advance(0);
    expect(early.error).toMatchObject({ code: 'CLOSED' });
    await expect(late.anchored).rejects.toMatchObject({ code: 'CLOSED' });
  });

  // Red when each look begins with the oldest: ten thousand whose fate is forgotten would hide all others for ever.
  test('is found behind any number of which nothing is known any more', async () => {
    const { time, handles, asked } = watching(
      new Map([[20_500, { refusal: { status: 'INVALID_ARGUMENT', reason: '', message: 'no' } }]]),
      async () => RECEIPT,
    );
    for (let sequence = 0; sequence < 20_500; sequence++) handles.add(sequence, undefined);
    const outcome = follow(handles.add(20_500, undefined));
    await time.advanceUntil(() => outcome.error !== undefined, 1_000);
    expect(outcome.error).toMatchObject({ code: 'DEAD_LETTER' });
    await time.advance(100);
    expect(asked).toEqual([10_000, 10_000, 501, 10_000]);
  });
});
