import { describe, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { checkListenAddress, createNotaryServer, resolveLimits } from '../../src/server/index.ts';
import { startEdge } from './edge.ts';
import { FakeNotary } from './fake-notary.ts';

const plain = { tls: false, allowInsecure: false };

describe('without TLS', () => {
  test.each([
    '127.0.0.1:7070',
    '127.9.8.7:0',
    'localhost:1',
    'LOCALHOST:1',
    '[::1]:65535',
    '[::ffff:127.0.0.1]:1',
    'unix:/run/q.sock',
  ])('%s may be listened on: only this machine reaches it', (address) =>
    expect(checkListenAddress(address, plain)).toEqual({ ok: true, loopback: true }),
  );

  test.each([
    '0.0.0.0:7070',
    '[::]:7070',
    '10.0.0.1:1',
    'notary.example.com:1',
    '127.0.0.1.example.com:1',
    '[2001:db8::1]:1',
    '[::ffff:10.0.0.1]:1',
  ])('%s is refused with an explanation, and allowed with TLS or on request', (address) => {
    const refused = checkListenAddress(address, plain);
    expect(refused).toMatchObject({ ok: false });
    expect(JSON.stringify(refused)).toMatch(/without TLS.*Configure TLS, listen on 127\.0\.0\.1/);
    expect(checkListenAddress(address, { tls: true, allowInsecure: false }).ok).toBe(true);
    expect(checkListenAddress(address, { tls: false, allowInsecure: true }).ok).toBe(true);
  });
});

test.each([
  '',
  '7070',
  ':7070',
  'localhost',
  'localhost:',
  'localhost:65536',
  '::1:80',
  '[::1]',
  '[localhost]:1',
  'a b:c',
  'unix:',
])('"%s" is no address, whatever is allowed', (address) => {
  const judged = checkListenAddress(address, { tls: true, allowInsecure: true });
  expect(judged).toMatchObject({ ok: false });
  expect(JSON.stringify(judged)).toContain('expected host:port');
});

test('the server itself refuses to listen where others could reach it, and says if a port is taken', async () => {
  const fake = new FakeNotary();
  const server = createNotaryServer({ notary: fake, registry: fake, logger: pino({ level: 'silent' }) });
  await expect(server.listen('0.0.0.0:0')).rejects.toThrow('without TLS');
  const edge = await startEdge();
  await expect(server.listen(edge.address)).rejects.toThrow(`cannot listen on "${edge.address}"`);
  await edge.stop();
  await server.shutdown(0);
});

test('limits are held to their ranges, by name', () => {
  expect(resolveLimits().maxLeafCount).toBe(1_048_576);
  expect(resolveLimits({ maxLeafCount: 4_194_304, maxMessageBytes: 160 * 2 ** 20 }).maxLeafCount).toBe(
    4_194_304,
  );
  expect(() => resolveLimits({ maxLeafCount: 4_194_305 })).toThrow('maxLeafCount is 4194305');
  expect(() => resolveLimits({ maxMessageBytes: 161 * 2 ** 20 })).toThrow('maxMessageBytes');
  expect(() => resolveLimits({ concurrentReads: 0.5 })).toThrow('concurrentReads');
});
