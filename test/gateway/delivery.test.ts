import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createGatewayIn } from '../../src/gateway/create-gateway.ts';
import { GatewayError } from '../../src/gateway/error.ts';
import type { Gateway } from '../../src/gateway/gateway.ts';
import { memoryOutbox } from '../../src/gateway/memory-outbox.ts';
import type { GatewayOptions } from '../../src/gateway/options.ts';
import type { Outbox } from '../../src/gateway/outbox.ts';
import { callFailed, MemoryLink } from './memory-link.ts';
import { CLUSTER_ID, leafOf, silentLog } from './outbox-contract.ts';
import { VirtualTime } from './virtual-environment.ts';

const gateways: { gateway: Gateway; time: VirtualTime }[] = [];
afterEach(async () => {
  for (const { gateway, time } of gateways.splice(0)) {
    const closing = gateway.close({ timeoutMs: 1 });
    await time.advance(10);
    await closing;
  }
});

function open(options: Partial<GatewayOptions> = {}) {
  const time = new VirtualTime();
  const link = new MemoryLink(CLUSTER_ID);
  const environment = time.environment(
    () => 0.5,
    () => link,
  );
  const gateway = createGatewayIn(environment, {
    endpoint: 'nowhere:1',
    clusterId: CLUSTER_ID,
    logger: silentLog,
    ...options,
  });
  gateways.push({ gateway, time });
  return { gateway, link, time };
}

/** Takes wait until they are let go; what they see is what there was when they began. */
function slowToTake(outbox: Outbox) {
  const waiting: (() => void)[] = [];
  const take = outbox.take.bind(outbox);
  outbox.take = async (...given) => {
    const taken = await take(...given);
    await new Promise<void>((resolve) => waiting.push(resolve));
    return taken;
  };
  const letGo = () => {
    outbox.take = take;
    for (const go of waiting.splice(0)) go();
  };
  return { outbox, waiting, letGo };
}

describe('delivery', () => {
  // Red when a take that began before the flush counts as its answer: the clock says the same of both.
  test('a flush that comes while the outbox is looked at is not forgotten', async () => {
    const { outbox, waiting, letGo } = slowToTake(memoryOutbox());
    const { gateway, link, time } = open({ outbox, batch: { flushIntervalMs: 3_600_000 } });
    await gateway.ready;
    await time.advance(0);
    expect(waiting.length).toBe(1); // looks, and has found nothing
    await gateway.submit(leafOf(1));
    const flushed = gateway.flush();
    await time.advance(0);
    for (let looks = 0; looks < 5 && link.calls.length === 0; looks++) {
      waiting.shift()?.();
      await time.advance(0);
    }
    expect(link.calls.length).toBe(1);
    letGo();
    expect((await flushed).leaves).toBe(0);
  });

  // Red when it is compared with the last reason only: two statuses in turn were a line for each try.
  test('an outage that changes its face with each try is told once for each face, and once when it is over', async () => {
    const said: string[] = [];
    const { gateway, link, time } = open({
      logger: {
        ...silentLog,
        info: (_fields, message) => void said.push(message),
        warn: (_fields, message) => void said.push(message),
      },
    });
    let isAway = true;
    link.before = () => {
      if (isAway) throw callFailed(link.calls.length % 2 ? status.UNAVAILABLE : status.DEADLINE_EXCEEDED);
    };
    await gateway.submit(leafOf(1));
    await time.advanceUntil(() => link.calls.length > 12, 3_600_000);
    expect(said.filter((line) => line.startsWith('the notary'))).toEqual([
      'the notary takes no batches: made to fail with UNAVAILABLE',
      'the notary takes no batches: made to fail with DEADLINE_EXCEEDED',
    ]);
    // Red when only what is said is noted: the newest error would be as old as the outage.
    expect(time.nowMs - (await gateway.stats()).lastError!.atMs).toBeLessThan(1_000);
    isAway = false;
    await time.advanceUntil(() => said.length === 4, 3_600_000);
    expect(said.at(-1)).toBe('the notary takes batches again');
  });

  // Red when each message makes an alarm of its own: the notary's operator, or an attacker, fills the disk with evidence.
  test('a notary that lost data raises one alarm, however it says so', async () => {
    const { gateway, link, time } = open();
    const alarms: string[] = [];
    gateway.on('alarm', ({ code }) => alarms.push(code));
    link.before = () => {
      const error = callFailed(status.DATA_LOSS);
      throw Object.assign(error, { details: `lost after ${link.calls.length}` });
    };
    await gateway.submit(leafOf(1));
    await time.advanceUntil(() => link.calls.length > 5, 3_600_000);
    expect(alarms).toEqual(['DATA_LOSS']);
  });

  // Red when it is tried once: a batch that stays in hand of a process that does not send it is sent by nobody.
  test('a batch is put back until the outbox takes it, and sent after the alarm', async () => {
    const outbox = memoryOutbox();
    const release = outbox.release.bind(outbox);
    let tries = 0;
    outbox.release = (batch) => {
      if (++tries < 4) return Promise.reject(new GatewayError('OUTBOX_FAILED', 'the database is away'));
      return release(batch);
    };
    const { gateway, link, time } = open({ outbox });
    link.after = (answer) => ({ ...answer, checkpoint: 'no checkpoint' });
    await gateway.submit(leafOf(1));
    await time.advanceUntil(() => tries === 4, 60_000);
    link.after = (answer) => answer;
    gateway.resume();
    await time.advanceUntil(() => link.calls.length === 2, 1_000);
    expect(link.calls[1]!.requestId).toBe(link.calls[0]!.requestId);
  });

  // Red when only the tries since the newest take count: here the answer was lost before an alarm, as it may be before a crash.
  test('a batch that may be anchored under its request_id is not split by a proxy that refuses it', async () => {
    const { gateway, link, time } = open();
    const letters: number[] = [];
    gateway.on('deadLetter', ({ leaves }) => letters.push(leaves.length));
    link.after = (answer) => ({ ...answer, checkpoint: 'no checkpoint' });
    const alarmed = new Promise((resolve) => gateway.on('alarm', resolve));
    for (let n = 0; n < 4; n++) await gateway.submit(leafOf(n));
    await time.advance(1_000);
    await alarmed;
    link.before = () => {
      throw callFailed(status.PERMISSION_DENIED); // without the notary's signature
    };
    gateway.resume();
    await time.advanceUntil(() => letters.length > 0, 60_000);
    expect(letters).toEqual([4]);
    link.before = () => {};
    link.after = (answer) => answer;
    expect(await gateway.replay()).toBe(1);
    await gateway.flush();
    expect(link.notary.leaves.length).toBe(4);

    // What was never sent is split as before: each of the two is asked about alone.
    link.before = () => {
      throw callFailed(status.PERMISSION_DENIED);
    };
    await gateway.submit(leafOf(4));
    await gateway.submit(leafOf(5));
    await time.advanceUntil(() => letters.length === 3, 60_000);
    expect(letters).toEqual([4, 1, 1]);
  });

  // Red when it is sealed as it is: the batch could never be sent, nor be another one.
  test('a revision that cannot be sent seals nothing, and is said', async () => {
    let revision: unknown = 7;
    const { gateway, link, time } = open({ etcdRevision: () => revision as bigint });
    await gateway.submit(leafOf(1));
    await time.advance(1_000);
    expect(await gateway.stats()).toMatchObject({
      queuedBatches: 0,
      lastError: { code: 'BAD_OPTIONS', message: expect.stringContaining('not the number 7') },
    });
    revision = 7n;
    await time.advanceUntil(() => link.notary.leaves.length === 1, 60_000);
    expect(link.calls[0]!.etcdRevision).toBe(7n);
  });

  // Red when batches share a pace: whatever is told to the application in between would have this one told again at once.
  test('a batch that the application cannot take is told at longer and longer waits, and said once', async () => {
    const errors: string[] = [];
    let poisoned = 0;
    const { gateway, link, time } = open({
      batch: { maxLeaves: 1, inFlight: 2 },
      logger: { ...silentLog, error: (_fields, message) => void errors.push(message) },
      onAnchored: ({ eventIds }) => {
        if (eventIds[0] !== 'poison') return;
        poisoned++;
        throw new Error('there is no such row');
      },
    });
    await gateway.submit({ leaf: leafOf(0), eventId: 'poison' });
    for (let n = 1; n <= 600; n++) {
      await gateway.submit(leafOf(n));
      await time.advance(100);
    }
    expect(link.notary.leaves.length).toBe(601);
    expect(poisoned).toBeLessThan(20);
    expect(errors).toEqual(['onAnchored failed, and is tried again: there is no such row']);
  });

  // Red when what the logger throws gets through: it ends delivery, as an unhandled rejection.
  test('a logger that throws stops nothing', async () => {
    const broken = () => {
      throw new Error('the stream is gone');
    };
    const { gateway, link, time } = open({ logger: { info: broken, warn: broken, error: broken } });
    link.before = () => {
      if (link.calls.length < 3) throw callFailed(status.UNAVAILABLE);
    };
    const { anchored } = await gateway.submit(leafOf(1));
    await time.advanceUntil(() => link.notary.leaves.length === 1, 3_600_000);
    expect(await anchored).toMatchObject({ leafIndex: 0 });
  });
});
