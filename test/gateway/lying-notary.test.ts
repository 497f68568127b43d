// Verification is not decoration: a whole gateway, over real gRPC, with a notary that lies in one way at a time.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { AnchoredLeaf } from '../../src/gateway/anchored.ts';
import { createGateway } from '../../src/gateway/create-gateway.ts';
import type { Gateway } from '../../src/gateway/gateway.ts';
import { journalOutbox } from '../../src/gateway/journal/journal-outbox.ts';
import type { LeafHandle } from '../../src/gateway/leaf-handle.ts';
import type { Alarm, GatewayOptions } from '../../src/gateway/options.ts';
import { parseCheckpoint } from '../../src/note/index.ts';
import { parseTlogProof, verifyReceipt } from '../../src/verify/index.ts';
import { temporaryDirectory } from '../cli/temporary-directory.ts';
import { BRANCHES, LIES, type LieName } from './lies.ts';
import { LyingNotary } from './lying-notary.ts';
import { leafOf, silentLog } from './outbox-contract.ts';

const directory = temporaryDirectory();

let notary: LyingNotary;
let gateway: Gateway;
/** Everything that was kept as evidence; the memory outbox has no other place than the log. */
let kept: string[];
let submitted: { readonly handle: LeafHandle; readonly leaf: Uint8Array; isDone: boolean }[];
beforeEach(async () => {
  notary = await LyingNotary.start();
  kept = [];
  submitted = [];
});
afterEach(async () => {
  notary.lie = undefined;
  await gateway.close({ timeoutMs: 1 });
  notary.stop();
});

function open(options: Partial<GatewayOptions> = {}): Gateway {
  const error = (fields: object) => {
    if ('evidence' in fields && 'code' in fields === false) kept.push(String(fields.evidence));
  };
  gateway = createGateway({
    endpoint: notary.address,
    clusterId: notary.clusterId,
    batch: { flushIntervalMs: 1, maxLeaves: 100 },
    retry: { minDelayMs: 1, maxDelayMs: 5 },
    verification: { keys: [notary.vkey] },
    logger: { ...silentLog, error },
    ...options,
  });
  return gateway;
}

async function submit(count: number): Promise<readonly LeafHandle[]> {
  const handles = [];
  for (let i = 0; i < count; i++) {
    const leaf = leafOf(submitted.length);
    const handle = await gateway.submit(leaf);
    const entry = { handle, leaf, isDone: false };
    const done = () => {
      entry.isDone = true;
    };
    handle.anchored.then(done, done);
    submitted.push(entry);
    handles.push(handle);
  }
  return handles;
}

const anchored = (handles: readonly LeafHandle[]) => Promise.all(handles.map((handle) => handle.anchored));

/** So many batches that are anchored, one after the other. */
async function anchorHonestly(batches: number): Promise<void> {
  for (let i = 0; i < batches; i++) await anchored(await submit(2));
}

const nextAlarm = () => new Promise<Alarm>((resolve) => gateway.on('alarm', resolve));

/** All that was ever submitted is in the honest log, once, and proven. */
async function expectAllAnchored(): Promise<void> {
  const leaves: AnchoredLeaf[] = [];
  for (const { handle, leaf } of submitted) {
    const found = await handle.anchored;
    const receipt = parseTlogProof(found.toTlogProof());
    const { anchorId, leafIndex } = found;
    verifyReceipt(receipt, { leaf, anchorId, leafIndex }, { logKeys: [notary.vkey] });
    leaves.push(found);
  }
  const places = new Set(leaves.map(({ anchorId, leafIndex }) => `${anchorId} ${leafIndex}`));
  expect(places.size).toBe(submitted.length);
  expect(leavesInLog()).toBe(submitted.length);
  expect(await gateway.flush()).toMatchObject({ leaves: 0 });
  expect(await gateway.stats()).toMatchObject({ deadLeaves: 0, refusedLeaves: 0, isStopped: false });
}

/** Of the honest log. */
function leavesInLog(): number {
  const leafCounts = notary.log.entries.map((record) =>
    Number(/"leaf_count":"(\d+)"/.exec(new TextDecoder().decode(record))?.[1]),
  );
  return leafCounts.reduce((sum, count) => sum + count, 0);
}

interface SavedEvidence {
  readonly type: string;
  readonly code: string;
  readonly call: {
    readonly requestId: string;
    readonly packedLeaves: string;
    readonly knownCheckpoint: string;
  };
  readonly answer: { readonly checkpoint: string; readonly record: string };
  readonly newestCheckpoint: string;
}

// Red when the engine takes an answer before it is verified, goes on after an alarm, or lets go of the batch.
test.each(Object.keys(LIES) as LieName[])('a gateway stops at a lie, and loses nothing: %s', async (lie) => {
  open();
  await anchorHonestly(3);
  const alarmed = nextAlarm();
  notary.lie = lie;
  const before = submitted.length;
  await submit(3);
  const alarm = await alarmed;
  expect(LIES[lie].codes).toContain(alarm.code);
  expect(alarm).toMatchObject({ stopped: true, evidence: 'the log of this process' });

  const evidence = JSON.parse(kept.at(-1) ?? '') as SavedEvidence;
  expect(evidence).toMatchObject({ type: 'quartermaster.dev/evidence@v1', code: alarm.code });
  const sent = Buffer.from(evidence.call.packedLeaves, 'base64');
  expect(sent.subarray(0, 32)).toEqual(Buffer.from(leafOf(before)));
  expect(parseCheckpoint(evidence.call.knownCheckpoint).checkpoint.size).toBe(3);
  if (lie !== 'no record') expect(Buffer.from(evidence.answer.record, 'base64').toString()).toMatch(/^\{"/);
  // Red when Buffers, which what was received is, become lists of numbers.
  expect(typeof evidence.answer.record).toBe('string');

  // What comes now is taken and kept, and nothing is sent.
  const asked = notary.requests.length;
  await submit(2);
  expect((await gateway.flush()).leaves).toBe(5);
  expect(await gateway.stats()).toMatchObject({ isStopped: true, alarms: 1, queuedLeaves: 5, deadLeaves: 0 });
  expect(notary.requests.length).toBe(asked);
  expect(submitted.slice(before).map(({ isDone }) => isDone)).toEqual([false, false, false, false, false]);

  notary.lie = undefined;
  gateway.resume();
  await anchored(submitted.map(({ handle }) => handle));
  await expectAllAnchored();
});

test('a gateway that is told to go on with a notary that still lies stops again', async () => {
  open();
  await anchorHonestly(3);
  notary.lie = 'a shrunken log';
  let alarmed = nextAlarm();
  await submit(1);
  for (let alarms = 1; alarms <= 3; alarms++) {
    expect(await alarmed).toMatchObject({ code: 'SIZE_SHRANK', stopped: true });
    expect(await gateway.stats()).toMatchObject({ alarms, queuedLeaves: 1 });
    alarmed = nextAlarm();
    gateway.resume();
  }
  await alarmed;
  notary.lie = undefined;
  gateway.resume();
  await expectAllAnchored();
});

describe('a gateway with several batches in flight', () => {
  test.each(Object.keys(BRANCHES) as (keyof typeof BRANCHES)[])(
    'sees a fork between their answers: a branch %s',
    async (branch) => {
      open({ batch: { flushIntervalMs: 1, maxLeaves: 1, inFlight: 2 } });
      await anchorHonestly(2);
      const known = notary.log.size;
      // Both are asked before either is answered, so that both present the same checkpoint.
      const asked = notary.requests.length;
      let bothAreThere = () => {};
      const together = new Promise<void>((resolve) => {
        bothAreThere = resolve;
      });
      notary.beforeAnswer = () => {
        if (notary.requests.length >= asked + 2) bothAreThere();
        return together;
      };
      let lies = 0;
      notary.lie = (question) => {
        if (question.log.size === known) return notary.truth(question);
        lies += 1;
        return BRANCHES[branch](question);
      };
      const alarmed = nextAlarm();
      await submit(2);
      expect(await alarmed).toMatchObject({ code: 'CONSISTENCY_PATH', stopped: true });
      expect(lies).toBe(1);
      // Two signed checkpoints that cannot both be of one log.
      const { newestCheckpoint, answer } = JSON.parse(kept.at(-1) ?? '') as SavedEvidence;
      expect(newestCheckpoint).not.toBe(answer.checkpoint);

      notary.lie = undefined;
      notary.beforeAnswer = undefined;
      gateway.resume();
      await expectAllAnchored();
    },
  );
});

test('a journal keeps the evidence in a file, and what waits for the next process, which knows the log', async () => {
  const journal = () => journalOutbox({ directory: join(directory, 'journal') });
  open({ outbox: journal() });
  await anchorHonestly(3);
  notary.lie = 'a log whose past was rewritten';
  const alarmed = nextAlarm();
  await submit(2);
  const { evidence, code } = await alarmed;
  const saved = JSON.parse(readFileSync(evidence ?? '', 'utf8')) as SavedEvidence;
  expect(saved.code).toBe(code);
  expect((await gateway.close({ timeoutMs: 1 })).leaves).toBe(2);

  // The next process starts where this one stood: it presents the checkpoint that was kept, and is not taken in either.
  open({ outbox: journal() });
  expect(await nextAlarm()).toMatchObject({ code: 'CONSISTENCY_PATH', stopped: true });
  notary.lie = undefined;
  gateway.resume();
  expect(await gateway.flush()).toMatchObject({ leaves: 0 });
  expect(leavesInLog()).toBe(8);
});
