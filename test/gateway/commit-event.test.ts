import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { commitEvent, hashEvent } from '../../src/gateway/commit-event.ts';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import { realEnvironment } from '../../src/gateway/environment.ts';
import { leafOf, hashEvent as recomputedHash, verifyReceipt } from '../../src/verify/index.ts';
import { MemoryLink } from './memory-link.ts';
import { CLUSTER_ID, silentLog } from './outbox-contract.ts';

const event = { user: 'ada', type: 'session.opened', at: '2025-03-23T12:00:01.100Z' };
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');

describe('commitEvent', () => {
  // Red when leaf, salt and canonical are not of one another, for example with a second salt.
  test('gives what opens the leaf again, also after the event went through a database', () => {
    const { leaf, salt, canonical } = commitEvent(event);
    expect(leaf).toHaveLength(32);
    expect(salt).toHaveLength(16);
    expect(canonical).toBe('{"at":"2025-03-23T12:00:01.100Z","type":"session.opened","user":"ada"}');
    expect(hex(leafOf(JSON.parse(canonical), salt))).toBe(hex(leaf));
    const preimage = `quartermaster.dev/event@v1\n${hex(salt)}\n${canonical}`;
    expect(hex(leaf)).toBe(createHash('sha256').update(preimage).digest('hex'));
  });

  test('does not open with one changed character', () => {
    const { leaf, salt } = commitEvent(event);
    expect(hex(leafOf({ ...event, user: 'adb' }, salt))).not.toBe(hex(leaf));
  });

  // Red with a salt that is constant, counted or derived from the event.
  test('takes a new salt for each event, so that equal events have nothing in common', () => {
    const commitments = Array.from({ length: 1_000 }, () => commitEvent(event));
    expect(new Set(commitments.map(({ leaf }) => hex(leaf))).size).toBe(1_000);
    for (let byte = 0; byte < 16; byte++) {
      expect(new Set(commitments.map(({ salt }) => salt[byte])).size).toBeGreaterThan(200);
    }
  });

  test('hands out memory that nobody else writes to', () => {
    const first = commitEvent(event);
    const before = hex(first.salt) + hex(first.leaf);
    commitEvent(event);
    expect(hex(first.salt) + hex(first.leaf)).toBe(before);
    expect(first.salt.buffer.byteLength).toBe(16);
  });
});

test('hashEvent is the SHA-256 of the canonical JSON, and what verifiers compute', () => {
  const canonical = '{"at":"2025-03-23T12:00:01.100Z","type":"session.opened","user":"ada"}';
  expect(hex(hashEvent(event))).toBe(createHash('sha256').update(canonical).digest('hex'));
  expect(hex(hashEvent(event))).toBe(hex(recomputedHash(event)));
});

// Red when the lower layer's error comes through as it is.
test.each([commitEvent, hashEvent])(
  'an event that JSON cannot say is a BAD_EVENT that names the path',
  (make) => {
    expect(() => make({ a: [{ n: 1n }] })).toThrow(
      expect.objectContaining({
        name: 'GatewayError',
        code: 'BAD_EVENT',
        message: 'event.a[0].n is a bigint: write it as a decimal string',
        cause: expect.objectContaining({ name: 'VerificationError' }),
      }),
    );
    expect(() => make(null as unknown as object)).toThrow(expect.objectContaining({ code: 'BAD_EVENT' }));
  },
);

// Red when submit takes another part of the commitment for the leaf, or refuses what else is in it.
test('an auditor with the event, its salt and the receipt needs nothing else', async () => {
  const link = new MemoryLink(CLUSTER_ID);
  const gateway = createGatewayIn(
    { ...realEnvironment, connect: () => link },
    { endpoint: 'nowhere:1', clusterId: CLUSTER_ID, logger: silentLog, batch: { flushIntervalMs: 1 } },
  );
  try {
    const commitment = commitEvent(event);
    const handle = await gateway.submit({ eventId: 'event-1', ...commitment });
    const { eventId, anchorId, receipt } = await handle.anchored;
    expect(eventId).toBe('event-1');
    const stored = { event: JSON.parse(commitment.canonical), salt: Uint8Array.from(commitment.salt) };
    const policy = { logKeys: [link.notary.log.vkey] };
    const verify = (altered: object) =>
      verifyReceipt(receipt, { leaf: leafOf(altered, stored.salt), anchorId }, policy);
    expect(verify(stored.event)).toMatchObject({ anchorId, clusterId: CLUSTER_ID });
    expect(() => verify({ ...stored.event, user: 'adb' })).toThrow(
      expect.objectContaining({ name: 'VerificationError' }),
    );
  } finally {
    await gateway.close();
  }
});
