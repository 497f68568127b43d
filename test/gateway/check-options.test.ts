import { describe, expect, test } from '@jest/globals';
import { checkOptions } from '../../src/gateway/check-options.ts';
import { GatewayError } from '../../src/gateway/error.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import { TestLog } from '../verify/test-log.ts';
import { CLUSTER_ID } from './outbox-contract.ts';

const required = { endpoint: '127.0.0.1:50051', clusterId: CLUSTER_ID };

function mistakesOf(options: unknown): string {
  try {
    checkOptions(options as GatewayOptions);
  } catch (error) {
    expect(error).toBeInstanceOf(GatewayError);
    expect((error as GatewayError).code).toBe('BAD_OPTIONS');
    return (error as GatewayError).message;
  }
  return '';
}

describe('the options of a gateway', () => {
  test('need an endpoint and a cluster only', () => {
    expect(checkOptions(required)).toMatchObject({
      maxLeaves: 10_000,
      flushIntervalMs: 500,
      inFlight: 1,
      attemptTimeoutMs: 60_000,
      minDelayMs: 250,
      maxDelayMs: 120_000,
      keys: undefined,
      blocksWhenFull: false,
      outbox: { kind: 'memory' },
    });
  });

  test('are judged all at once: every mistake is named', () => {
    const message = mistakesOf({
      endpoint: 'https://notary.example.org',
      clusterId: 'production',
      batch: { maxLeaves: 0, flushInterval: 5 },
      retry: { minDelayMs: 500, maxDelayMs: 100 },
      verification: { keys: [] },
      whenFull: 'drop',
      onAnchored: 'yes',
      logger: { info() {} },
      onAnchord: () => {},
    });
    for (const named of [
      'endpoint',
      'clusterId',
      'batch.maxLeaves',
      'batch.flushInterval is no option',
      'retry.maxDelayMs',
      'verification.keys',
      'whenFull',
      'onAnchored must be a function',
      'logger lacks warn, error',
      'onAnchord is no option',
    ]) {
      expect(message).toContain(named);
    }
  });

  test.each([undefined, null, 7, 'x', []])('%p is none', (options) => {
    expect(mistakesOf(options)).toContain('endpoint');
  });

  test('take the cluster id in any case, and empty to disable submission', () => {
    expect(checkOptions({ ...required, clusterId: CLUSTER_ID.toUpperCase() }).clusterId).toBe(CLUSTER_ID);
    expect(checkOptions({ ...required, clusterId: '' }).clusterId).toBeUndefined();
  });

  test('maxBytes bounds a batch as maxLeaves does', () => {
    expect(checkOptions({ ...required, batch: { maxBytes: 100 } }).maxLeaves).toBe(3);
    expect(checkOptions({ ...required, batch: { maxBytes: 3_200, maxLeaves: 7 } }).maxLeaves).toBe(7);
  });

  test('refuse keys that are none, and keys of another cluster only', () => {
    const own = new TestLog(CLUSTER_ID, 1).vkey;
    const foreign = new TestLog('0190a1b2-0000-7000-8000-000000000002', 2).vkey;
    expect(checkOptions({ ...required, verification: { keys: [` ${own}\n`, foreign] } }).keys).toEqual([
      own,
      foreign,
    ]);
    expect(mistakesOf({ ...required, verification: { keys: [foreign] } })).toContain(
      `none of cluster ${CLUSTER_ID}`,
    );
    expect(mistakesOf({ ...required, verification: { keys: [own, 'nonsense'] } })).toContain('"nonsense"');
  });
});
