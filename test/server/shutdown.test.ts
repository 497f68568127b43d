import { describe, expect, test } from '@jest/globals';
import { failure, leaves, startEdge, until } from './edge.ts';
import { anchorAnswer, CLUSTER } from './fake-notary.ts';
import { healthClient } from './health-client.ts';
import { CREATE_ANCHOR, RawConnection } from './raw-grpc.ts';

const SMALL = { clusterId: CLUSTER, leaves: leaves(1) };

/** A promise and the function that resolves it. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open: () => open(), opened };
}

describe('a shutdown', () => {
  test('goes in order: health, watches, new calls refused, the notary drained, calls in flight answered, closed', async () => {
    const commit = gate();
    const drained = gate();
    const edge = await startEdge({
      createAnchor: async (submission) => {
        await commit.opened;
        return anchorAnswer(submission);
      },
      drain: () => drained.opened,
    });
    const health = healthClient(edge.address);
    const states: (string | undefined)[] = [];
    const watchingHealth = (async () => {
      for await (const state of health.watch('')) states.push(state);
    })();
    const watched: string[] = [];
    const watching = failure(
      (async () => {
        for await (const { checkpoint } of edge.notary.watchCheckpoints({ clusterId: CLUSTER })) {
          watched.push(checkpoint);
        }
      })(),
    );
    const inFlight = edge.notary.createAnchor(SMALL);
    await until(() => edge.fake.submissions.length === 1 && watched.length === 1 && states.length === 1);

    const closed = edge.server.shutdown(60_000);
    expect(edge.server.shutdown(1)).toBe(closed);
    const ended = await watching;
    expect(ended).toMatchObject({ code: 'UNAVAILABLE', details: { reason: 'SHUTTING_DOWN' } });
    await expect(watchingHealth).rejects.toMatchObject({ code: 14 });
    expect(states).toEqual(['SERVING', 'NOT_SERVING']);
    expect(await health.check('quartermaster.v1.QuartermasterNotary')).toBe('NOT_SERVING');
    expect(edge.fake.events).toEqual(['watch', 'drain', 'watch ended']);

    const refused = await failure(edge.notary.createAnchor(SMALL));
    expect(refused.code).toBe('UNAVAILABLE');
    expect(refused.details?.retryDelayMs).toBeGreaterThan(0);
    expect(edge.fake.submissions).toHaveLength(1);

    commit.open();
    expect((await inFlight).leafCount).toBe(1);
    drained.open();
    await closed;
    const after = await failure(edge.notary.getLog({ clusterId: CLUSTER }, { timeoutMs: 5_000 }));
    expect(['UNAVAILABLE', 'DEADLINE_EXCEEDED']).toContain(after.code);
    health.close();
    await edge.stop();
  });

  test('cuts off after its grace what does not end', async () => {
    const edge = await startEdge({ createAnchor: () => new Promise(() => {}) });
    const stuck = failure(edge.notary.createAnchor(SMALL));
    const raw = new RawConnection(edge.port);
    const neverSent = raw.open(CREATE_ANCHOR);
    await until(() => edge.fake.submissions.length === 1);
    await edge.server.shutdown(50);
    expect(['UNAVAILABLE', 'INTERNAL', 'CANCELLED']).toContain((await stuck).code);
    expect((await neverSent.answer).code).toBeUndefined();
    raw.close();
    await edge.stop();
  });

  test('closes also where the notary cannot drain', async () => {
    const edge = await startEdge({ drain: () => Promise.reject(new Error('no database')) });
    await edge.notary.getCheckpoint({ clusterId: CLUSTER });
    await expect(edge.server.shutdown(1_000)).rejects.toThrow('no database');
    await expect(edge.notary.getLog({ clusterId: CLUSTER }, { timeoutMs: 5_000 })).rejects.toThrow();
    edge.notary.close();
    edge.registry.close();
  });

  test('of an idle server takes no time of its grace', async () => {
    const edge = await startEdge();
    const startedAt = performance.now();
    await edge.server.shutdown(30_000);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    await edge.stop();
  });
});
