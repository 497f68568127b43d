import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import type { AnchoredBatch } from '../../src/gateway/anchored.ts';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import { type Environment, realEnvironment } from '../../src/gateway/environment.ts';
import { GatewayError } from '../../src/gateway/error.ts';
import type { Gateway } from '../../src/gateway/gateway.ts';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import type { Alarm, GatewayOptions } from '../../src/gateway/options.ts';
import { parseTlogProof, verifyReceipt } from '../../src/verify/index.ts';
import { callFailed, MemoryLink } from './memory-link.ts';
import { CLUSTER_ID, leafOf, listed, numbersOf, silentLog } from './outbox-contract.ts';

const gateways: Gateway[] = [];

afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.close({ timeoutMs: 1 }).catch(() => {});
});

function open(
  link: MemoryLink,
  options: Partial<GatewayOptions> = {},
  environment: Environment = realEnvironment,
): Gateway {
  const gateway = createGatewayIn(
    { ...environment, connect: () => link },
    {
      endpoint: 'nowhere:1',
      clusterId: CLUSTER_ID,
      batch: { flushIntervalMs: 5 },
      retry: { minDelayMs: 1, maxDelayMs: 5 },
      verification: { keys: [link.notary.log.vkey] },
      logger: silentLog,
      ...options,
    },
  );
  gateways.push(gateway);
  return gateway;
}

async function submitted(gateway: Gateway, from: number, to: number) {
  const handles = [];
  for (let n = from; n < to; n++)
    handles.push(await gateway.submit({ leaf: leafOf(n), eventId: `event-${n}` }));
  return handles;
}

const anchoredNumbers = ({ notary }: MemoryLink) =>
  notary.leaves.map((hex) => numbersOf(Buffer.from(hex, 'hex'))[0]);
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe('a gateway', () => {
  test('anchors what is submitted, in order, and gives each leaf its place and its receipt', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const gateway = open(link);
    const handles = await submitted(gateway, 0, 300);
    const anchored = await Promise.all(handles.map((handle) => handle.anchored));
    expect(anchoredNumbers(link)).toEqual(numbers(0, 300));
    for (const [n, leaf] of anchored.entries()) {
      expect(leaf).toMatchObject({ eventId: `event-${n}`, verified: true });
      const { anchorId, leafIndex } = leaf;
      const receipt = parseTlogProof(leaf.toTlogProof());
      const policy = { logKeys: [link.notary.log.vkey] };
      expect(verifyReceipt(receipt, { leaf: leafOf(n), anchorId, leafIndex }, policy)).toMatchObject({
        anchorId,
      });
      if (n > 3) continue;
      expect(() => verifyReceipt(receipt, { leaf: leafOf(n + 1) }, policy)).toThrow();
    }
  });

  test('asks for no notary until there is something to send', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const gateway = open(link);
    await gateway.ready;
    expect(link.calls).toEqual([]);
    expect((await gateway.close()).leaves).toBe(0);
    expect(link.calls).toEqual([]);
  });

  // Red when `take` may seal a partial batch whenever there is something.
  test('seals full batches at once, and the rest after the interval', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const gateway = open(link, { batch: { maxLeaves: 10, flushIntervalMs: 60_000 } });
    await gateway.ready;
    const handles = await submitted(gateway, 0, 25);
    await handles[19]!.anchored;
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(link.calls.map(({ packedLeaves }) => packedLeaves.length / 32)).toEqual([10, 10]);
    expect(await gateway.flush()).toMatchObject({ leaves: 0 });
    expect(link.calls.map(({ packedLeaves }) => packedLeaves.length / 32)).toEqual([10, 10, 5]);
  });

  test('submits while the notary is away, says so once, and sends everything when it is back', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    let isAway = true;
    link.before = () => {
      if (isAway) throw callFailed(status.UNAVAILABLE);
    };
    const gateway = open(link);
    const away: string[] = [];
    gateway.on('away', (code) => away.push(code)).on('back', () => away.push('back'));
    const handles = await submitted(gateway, 0, 50);
    while (link.calls.length < 5) await new Promise(setImmediate);
    const more = await submitted(gateway, 50, 100);
    expect(await gateway.stats()).toMatchObject({ queuedLeaves: 100, lastError: { code: 'UNAVAILABLE' } });
    isAway = false;
    await Promise.all([...handles, ...more].map((handle) => handle.anchored));
    expect(away).toEqual(['UNAVAILABLE', 'back']);
    expect(anchoredNumbers(link)).toEqual(numbers(0, 100));
    expect(link.drops).toBeGreaterThanOrEqual(4);
    expect((await gateway.stats()).awaySinceMs).toBeUndefined();
  });

  // Red when a retry is given a request_id of its own.
  test('repeats a batch as itself: an answer that was lost is one anchor', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    let lost = 0;
    link.after = (answer) => {
      if (lost++ < 3) throw callFailed(status.UNAVAILABLE);
      return answer;
    };
    const gateway = open(link);
    const handles = await submitted(gateway, 0, 10);
    const anchored = await Promise.all(handles.map((handle) => handle.anchored));
    expect(link.notary.log.entries.length).toBe(1);
    expect(new Set(link.calls.map(({ requestId }) => requestId)).size).toBe(1);
    expect(anchored.map(({ leafIndex }) => leafIndex)).toEqual(numbers(0, 10));
    expect(await gateway.stats()).toMatchObject({
      anchoredLeaves: 10,
      anchoredBatches: 1,
      attempts: 4,
      retries: 3,
    });
  });

  test('keeps several batches in flight where asked', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    let inFlight = 0;
    let most = 0;
    link.before = async () => {
      most = Math.max(most, ++inFlight);
      await new Promise(setImmediate);
      inFlight--;
    };
    const gateway = open(link, {
      batch: { maxLeaves: 5, inFlight: 4, flushIntervalMs: 5 },
      verification: undefined,
    });
    await gateway.ready;
    const handles = await Promise.all(numbers(0, 100).map((n) => gateway.submit(leafOf(n))));
    await Promise.all(handles.map((handle) => handle.anchored));
    expect(most).toBe(4);
    expect(anchoredNumbers(link).toSorted((a, b) => a! - b!)).toEqual(numbers(0, 100));
  });

  test('splits what the notary refuses until the culprits stand alone; the rest is anchored, in order', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const culprits = [3, 4, 17];
    link.before = ({ packedLeaves }) => {
      if (numbersOf(packedLeaves).some((n) => culprits.includes(n)))
        throw callFailed(status.INVALID_ARGUMENT, {});
    };
    const letters: (string | undefined)[] = [];
    const gateway = open(link, {
      onDeadLetter: ({ leaves }) => void letters.push(...leaves.map((l) => l.eventId)),
    });
    const handles = await submitted(gateway, 0, 32);
    const outcomes = await Promise.allSettled(handles.map((handle) => handle.anchored));
    expect(outcomes.flatMap(({ status }, n) => (status === 'rejected' ? [n] : []))).toEqual(culprits);
    expect(outcomes[3]).toMatchObject({ reason: { code: 'DEAD_LETTER' } });
    expect(anchoredNumbers(link)).toEqual(numbers(0, 32).filter((n) => !culprits.includes(n)));
    expect(letters).toEqual(['event-3', 'event-4', 'event-17']);

    const dead = await listed(gateway.deadLetters());
    expect(dead.map(({ refusal }) => refusal.status)).toEqual(Array(3).fill('INVALID_ARGUMENT'));
    culprits.length = 0;
    expect(await gateway.replay(dead[1]!.id)).toBe(1);
    expect(await gateway.replay()).toBe(2);
    expect((await gateway.flush()).leaves).toBe(0);
    expect(anchoredNumbers(link).toSorted((a, b) => a! - b!)).toEqual(numbers(0, 32));
  });

  test('a dead letter that is discarded makes room', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = () => {
      throw callFailed(status.INVALID_ARGUMENT, {});
    };
    const gateway = open(link, { outbox: memoryOutbox({ maxLeaves: 1 }), whenFull: 'block' });
    const [handle] = await submitted(gateway, 0, 1);
    await expect(handle!.anchored).rejects.toMatchObject({ code: 'DEAD_LETTER' });
    link.before = () => {};
    const waiting = gateway.submit(leafOf(1));
    const [letter] = await listed(gateway.deadLetters());
    expect(await gateway.discard('nothing')).toBe(false);
    expect(await gateway.discard(letter!.id)).toBe(true);
    await (await waiting).anchored;
    expect(anchoredNumbers(link)).toEqual([1]);
  });

  test('buries a batch whole where no leaf is to blame, and replays it under its request_id', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = () => {
      throw callFailed(status.NOT_FOUND, { reason: 'CLUSTER_NOT_FOUND' });
    };
    const gateway = open(link);
    const [handle] = await submitted(gateway, 0, 8);
    await expect(handle!.anchored).rejects.toMatchObject({ code: 'DEAD_LETTER' });
    expect(link.calls.length).toBe(1);
    link.before = () => {};
    expect(await gateway.replay()).toBe(1);
    await gateway.flush();
    expect(new Set(link.calls.map(({ requestId }) => requestId)).size).toBe(1);
    expect(anchoredNumbers(link)).toEqual(numbers(0, 8));
  });

  test('splits a batch that is too big for the notary', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = ({ packedLeaves }) => {
      if (packedLeaves.length > 4 * 32)
        throw callFailed(status.RESOURCE_EXHAUSTED, { reason: 'TOO_MANY_LEAVES' });
    };
    const gateway = open(link);
    await submitted(gateway, 0, 30);
    expect((await gateway.flush()).leaves).toBe(0);
    expect(anchoredNumbers(link)).toEqual(numbers(0, 30));
  });

  // Red when the outbox is told before the application.
  test('tells the application before it forgets, and again until it is heard', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const told: AnchoredBatch[] = [];
    const gateway = open(link, {
      async onAnchored(batch) {
        told.push(batch);
        expect((await gateway.stats()).queuedLeaves).toBe(3);
        if (told.length < 3) throw new Error('the database of the gateway is away');
      },
    });
    const handles = await submitted(gateway, 0, 3);
    await handles[0]!.anchored;
    expect(told.map(({ requestId }) => requestId)).toEqual(Array(3).fill(told[0]!.requestId));
    expect([...told[0]!].map(({ eventId, leafIndex }) => [eventId, leafIndex])).toEqual([
      ['event-0', 0],
      ['event-1', 1],
      ['event-2', 2],
    ]);
    expect(link.calls.length).toBe(1);
  }, 20_000);

  test('stops at a lie, keeps the evidence, loses nothing, and goes on when told to', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.after = (answer) => ({ ...answer, record: answer.record.with(40, answer.record[40]! ^ 1) });
    const alarms: Alarm[] = [];
    const errors: object[] = [];
    const gateway = open(link, { logger: { ...silentLog, error: (fields) => void errors.push(fields) } });
    const alarmed = new Promise<void>((resolve) => {
      gateway.on('alarm', (alarm) => {
        alarms.push(alarm);
        resolve();
      });
    });
    const [handle] = await submitted(gateway, 0, 4);
    await alarmed;
    expect(alarms).toMatchObject([{ stopped: true }]);
    expect(JSON.stringify(errors)).toContain('quartermaster.dev/evidence@v1');
    await submitted(gateway, 4, 6);
    expect((await gateway.flush({ timeoutMs: 1_000 })).leaves).toBe(6);
    expect(link.calls.length).toBe(1);
    link.after = (answer) => answer;
    gateway.resume();
    await handle!.anchored;
    expect((await gateway.flush()).leaves).toBe(0);
    expect(anchoredNumbers(link)).toEqual(numbers(0, 6));
    expect(link.calls[1]!.requestId).toBe(link.calls[0]!.requestId);
  });

  test('a full outbox refuses at once, or holds the caller back where asked', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = () => {
      throw callFailed(status.UNAVAILABLE);
    };
    const gateway = open(link, { outbox: memoryOutbox({ maxLeaves: 3 }) });
    await submitted(gateway, 0, 3);
    await expect(gateway.submit(leafOf(3))).rejects.toMatchObject({ code: 'OUTBOX_FULL' });
    expect(await gateway.stats()).toMatchObject({ rejectedLeaves: 1, submittedLeaves: 3 });

    const patient = new MemoryLink(CLUSTER_ID);
    const blocking = open(patient, { outbox: memoryOutbox({ maxLeaves: 3 }), whenFull: 'block' });
    await Promise.all(numbers(0, 20).map((n) => blocking.submit(leafOf(n))));
    await blocking.flush();
    expect(anchoredNumbers(patient)).toEqual(numbers(0, 20));
  });

  test('an empty clusterId disables it: nothing is kept, nothing is sent, and it is said once', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const info = jest.fn();
    const gateway = open(link, { clusterId: '', verification: undefined, logger: { ...silentLog, info } });
    const handles = await submitted(gateway, 0, 3);
    await expect(handles[0]!.anchored).rejects.toMatchObject({ code: 'DISABLED' });
    expect(await gateway.flush()).toEqual({ leaves: 0, oldestAtMs: undefined });
    expect(info.mock.calls.map(([, message]) => message)).toEqual([
      'anchoring is disabled: clusterId is empty',
    ]);
    expect(link.calls).toEqual([]);
  });

  test.each([
    ['31 bytes', new Uint8Array(31)],
    ['a string', 'leaf'],
    ['nothing', undefined],
    ['an empty event id', { leaf: new Uint8Array(32), eventId: '' }],
    ['a number for an event id', { leaf: new Uint8Array(32), eventId: 7 }],
  ])('refuses %s for a leaf', async (_name, submission) => {
    const gateway = open(new MemoryLink(CLUSTER_ID));
    await expect(gateway.submit(submission as never)).rejects.toMatchObject({ code: 'BAD_EVENT' });
  });

  test('close takes no more, sends what it can in time, and says what is left', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const gateway = open(link, { batch: { flushIntervalMs: 60_000 } });
    await submitted(gateway, 0, 5);
    expect((await gateway.close()).leaves).toBe(0);
    expect(anchoredNumbers(link)).toEqual(numbers(0, 5));
    await expect(gateway.submit(leafOf(9))).rejects.toMatchObject({ code: 'CLOSED' });

    const away = new MemoryLink(CLUSTER_ID);
    away.before = (_call, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(callFailed(status.CANCELLED)));
      });
    const closing = open(away);
    const [handle] = await submitted(closing, 0, 5);
    const outcome = expect(handle!.anchored).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await closing.close({ timeoutMs: 20 })).toMatchObject({ leaves: 5 });
    await outcome;
  });

  test('says what has no anchor, and where it stands', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = () => {
      throw callFailed(status.UNAVAILABLE);
    };
    const gateway = open(link, { batch: { maxLeaves: 2 } });
    await submitted(gateway, 0, 3);
    while (link.calls.length === 0) await new Promise(setImmediate);
    expect((await listed(gateway.reconcile())).map(({ eventId, state }) => [eventId, state])).toEqual([
      ['event-0', 'sealed'],
      ['event-1', 'sealed'],
      ['event-2', 'queued'],
    ]);
  });

  test('opens its outbox as soon as that is possible, and refuses leaves until then', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const outbox = memoryOutbox();
    const opening = outbox.open.bind(outbox);
    let tries = 0;
    outbox.open = async (context) => {
      if (++tries < 3) throw new GatewayError('OUTBOX_FAILED', 'the database is not there yet');
      return opening(context);
    };
    const environment = {
      ...realEnvironment,
      after: (_ms: number, run: () => void) => realEnvironment.after(1, run),
    };
    const error = jest.fn();
    const gateway = open(link, { outbox, logger: { ...silentLog, error } }, environment);
    await expect(gateway.ready).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
    await expect(gateway.submit(leafOf(1))).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
    while (tries < 3) await new Promise(setImmediate);
    await (await gateway.submit(leafOf(2))).anchored;
    expect(anchoredNumbers(link)).toEqual([2]);
    // Red when each try is told.
    expect(error.mock.calls.length).toBe(1);
  });

  // Red when only what the outbox has answered for is waited for.
  test.each(['flush', 'close'] as const)(
    '%s waits for what was submitted before it and is not taken yet',
    async (end) => {
      const link = new MemoryLink(CLUSTER_ID);
      const outbox = memoryOutbox();
      const append = outbox.append.bind(outbox);
      let onDisk = () => {};
      outbox.append = async (...given) => {
        await new Promise<void>((resolve) => {
          onDisk = resolve;
        });
        return append(...given);
      };
      const gateway = open(link, { outbox, batch: { flushIntervalMs: 60_000 } });
      await gateway.ready;
      const submitting = gateway.submit(leafOf(1));
      const ended = gateway[end]();
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
      onDisk();
      expect((await ended).leaves).toBe(0);
      expect((await (await submitting).anchored).leafIndex).toBe(0);
    },
  );

  // Red when what the application does is waited for without end, or the time is more than a timer holds.
  test('close keeps its time where the application hangs, and takes Infinity for a long time', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const hanging = open(link, { onAnchored: () => new Promise(() => {}) });
    const [handle] = await submitted(hanging, 0, 1);
    while (link.notary.leaves.length === 0) await new Promise(setImmediate);
    expect(await hanging.close({ timeoutMs: 20 })).toMatchObject({ leaves: 1 });
    await expect(handle!.anchored).rejects.toMatchObject({ code: 'CLOSED' });

    const slow = new MemoryLink(CLUSTER_ID);
    slow.before = () => new Promise((resolve) => setTimeout(resolve, 50));
    const patient = open(slow);
    await submitted(patient, 0, 1);
    expect(await patient.close({ timeoutMs: Number.POSITIVE_INFINITY })).toMatchObject({ leaves: 0 });
  });

  // Red when nobody tells it: it would wait for a change that never comes.
  test('a flush that waits ends with the gateway', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = () => {
      throw callFailed(status.UNAVAILABLE);
    };
    const gateway = open(link);
    await submitted(gateway, 0, 1);
    const flushed = expect(gateway.flush()).rejects.toMatchObject({ code: 'CLOSED' });
    expect(await gateway.close({ timeoutMs: 1 })).toMatchObject({ leaves: 1 });
    await flushed;
    await expect(gateway.flush()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  // Red when what is not known is told as 0, which says that everything is anchored.
  test('close does not say that nothing is left where the outbox cannot tell', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    link.before = () => {
      throw callFailed(status.UNAVAILABLE);
    };
    const outbox = memoryOutbox();
    const gateway = open(link, { outbox });
    const [handle] = await submitted(gateway, 0, 1);
    outbox.backlog = () => Promise.reject(new GatewayError('OUTBOX_FAILED', 'the database is away'));
    outbox.close = () => Promise.reject(new GatewayError('OUTBOX_FAILED', 'the database is away'));
    const outcome = expect(handle!.anchored).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(gateway.close({ timeoutMs: 1 })).rejects.toMatchObject({ code: 'OUTBOX_FAILED' });
    // Red when an outbox that does not close keeps handles waiting and the channel open.
    await outcome;

    const empty = memoryOutbox();
    empty.open = () => Promise.reject(new GatewayError('OUTBOX_FAILED', 'the database is not there'));
    expect(await open(new MemoryLink(CLUSTER_ID), { outbox: empty }).close()).toMatchObject({
      leaves: undefined,
    });
  });

  test('a listener that throws hurts nobody', async () => {
    const link = new MemoryLink(CLUSTER_ID);
    const error = jest.fn();
    const gateway = open(link, { logger: { ...silentLog, error } });
    gateway.on('anchored', () => {
      throw new Error('listener');
    });
    const [handle] = await submitted(gateway, 0, 1);
    await handle!.anchored;
    expect(error.mock.calls.map(([, message]) => message)).toEqual(['a listener to anchored threw']);
  });
});
