import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { WatchCheckpointsRequestSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { NotaryError } from '../../src/notary/error.ts';
import { failure, startEdge, until } from './edge.ts';
import { CLUSTER } from './fake-notary.ts';
import { frame, RawConnection } from './raw-grpc.ts';

const WATCH = '/quartermaster.v1.QuartermasterNotary/WatchCheckpoints';

test('a watch sends what the notary tells, and ends when the notary ends it', async () => {
  const edge = await startEdge({
    async *watchCheckpoints() {
      yield 'one';
      yield 'two';
    },
  });
  const seen: string[] = [];
  for await (const { checkpoint } of edge.notary.watchCheckpoints({ clusterId: CLUSTER }))
    seen.push(checkpoint);
  expect(seen.at(-1)).toBe('two');
  await edge.stop();
});

test('a watch fails as the notary says', async () => {
  const edge = await startEdge({
    // biome-ignore lint/correctness/useYield: it fails first
    async *watchCheckpoints() {
      throw new NotaryError('CLUSTER_NOT_FOUND', 'no such cluster');
    },
  });
  const failed = await failure(
    (async () => {
      for await (const _ of edge.notary.watchCheckpoints({ clusterId: CLUSTER }));
    })(),
  );
  expect(failed).toMatchObject({ code: 'NOT_FOUND', message: 'no such cluster' });
  expect(failed.details?.reason).toBe('CLUSTER_NOT_FOUND');
  await edge.stop();
});

test('a caller that leaves ends the notary’s side too', async () => {
  const edge = await startEdge();
  for await (const { checkpoint } of edge.notary.watchCheckpoints({ clusterId: CLUSTER })) {
    expect(checkpoint).toBe('checkpoint 1\n');
    break;
  }
  await until(() => edge.fake.events.includes('watch ended'));
  await edge.stop();
});

// Seen red with every checkpoint written as it came: all 200 arrive.
test('a slow reader holds up nothing and gets only the newest', async () => {
  let told = 0;
  const edge = await startEdge({
    async *watchCheckpoints(_clusterId, signal) {
      for (; told < 200; told += 1) {
        yield `${told} ${'x'.repeat(20_000)}`;
        await new Promise((resolve) => setImmediate(resolve));
      }
      yield `last ${'x'.repeat(20_000)}`;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    },
  });
  const raw = new RawConnection(edge.port);
  const call = raw.open(WATCH);
  call.stream.pause();
  call.stream.end(
    frame(
      toBinary(WatchCheckpointsRequestSchema, create(WatchCheckpointsRequestSchema, { clusterId: CLUSTER })),
    ),
  );
  await until(() => told === 200);
  let received = '';
  call.stream.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  call.stream.resume();
  await until(() => received.includes('last'));
  expect([...received.matchAll(/\d+ x/g)].length).toBeLessThan(50);
  raw.close();
  await edge.stop();
});
