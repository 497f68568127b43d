import { expect, test } from '@jest/globals';
import { startEdge } from './edge.ts';
import { healthClient } from './health-client.ts';

test('health answers for the server and each service, and as the process says', async () => {
  const edge = await startEdge();
  const health = healthClient(edge.address);
  const names = ['', 'quartermaster.v1.QuartermasterNotary', 'quartermaster.v1.QuartermasterRegistry'];
  const all = () => Promise.all(names.map((name) => health.check(name)));
  expect(await all()).toEqual(['SERVING', 'SERVING', 'SERVING']);
  edge.server.setServing(false);
  expect(await all()).toEqual(['NOT_SERVING', 'NOT_SERVING', 'NOT_SERVING']);
  edge.server.setServing(true);
  expect(await all()).toEqual(['SERVING', 'SERVING', 'SERVING']);
  await expect(health.check('nobody')).rejects.toMatchObject({ code: 5 });
  health.close();
  await edge.stop();
});

test('nothing brings a draining server back', async () => {
  let release = () => {};
  const edge = await startEdge({
    drain: () =>
      new Promise((resolve) => {
        release = resolve;
      }),
  });
  const health = healthClient(edge.address);
  expect(await health.check('')).toBe('SERVING');
  const closed = edge.server.shutdown(10_000);
  edge.server.setServing(true);
  expect(await health.check('')).toBe('NOT_SERVING');
  release();
  await closed;
  health.close();
  await edge.stop();
});
