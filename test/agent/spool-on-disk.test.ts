import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { AnchoredCalls } from '../../src/agent/anchored-calls.ts';
import { contentKey } from '../../src/agent/content-key.ts';
import { Spool } from '../../src/agent/spool.ts';
import { type CallHeader, decodeCall, encodeHeader } from '../../src/agent/spooled-call.ts';
import { leavesNamed } from '../integration/careful-caller.ts';

// What a crash, a full disk and a damaged one leave of the spool: files, without processes.

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'qm-spool-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const log = { info() {}, warn() {}, error() {} };
const packedLeaves = leavesNamed('spool', 3);

function headerOf(overrides: Partial<CallHeader> = {}): CallHeader {
  const content = {
    clusterId: randomUUID(),
    etcdRevision: 9_007_199_254_740_993n,
    givenRequestId: undefined,
    packedLeaves,
  };
  const { packedLeaves: _, ...rest } = content;
  return {
    ...rest,
    requestId: randomUUID(),
    knownCheckpoint: 'origin\n1\n"quoted"\n— key\n',
    contentKey: contentKey(content),
    leafCount: 3,
    after: 7,
    takenAtMs: 1_700_000_000_000,
    ...overrides,
  };
}

function openSpool(options: { readonly maxBytes?: number; readonly path?: string } = {}): Spool {
  return new Spool({
    directory: options.path ?? directory,
    maxBytes: options.maxBytes ?? 1_000_000,
    retentionMs: 1_000,
    now: () => 0,
    log,
  });
}

describe('a call in a file', () => {
  test('is read as it was written', () => {
    const header = headerOf();
    const read = decodeCall(Buffer.concat([encodeHeader(header), packedLeaves]));
    expect(read.header).toEqual(header);
    expect(new Uint8Array(read.packedLeaves)).toEqual(new Uint8Array(packedLeaves));
  });

  // Red when the checksum of the first line, or that of the leaves, is not looked at.
  test('is refused with any bit flipped, cut at any byte, or with a byte too many', () => {
    const whole = Buffer.concat([encodeHeader(headerOf()), packedLeaves]);
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole);
      flipped[at] = flipped[at]! ^ (1 << (at % 8));
      expect(() => decodeCall(flipped)).toThrow(expect.objectContaining({ code: 'SPOOL_DAMAGED' }));
      expect(() => decodeCall(whole.subarray(0, at))).toThrow(
        expect.objectContaining({ code: 'SPOOL_DAMAGED' }),
      );
    }
    expect(() => decodeCall(Buffer.concat([whole, Buffer.alloc(1)]))).toThrow(/leaves/);
  });
});

describe('the spool', () => {
  test('gives back what it took, in order, and not what a crash left half-written', async () => {
    const first = openSpool();
    await first.open();
    const header = headerOf();
    await first.put(header, 2, packedLeaves);
    await first.put({ ...header, requestId: randomUUID() }, 10, packedLeaves);
    const calls = join(directory, 'calls', header.clusterId);
    writeFileSync(join(calls, '0000000000000003-x.call.draft'), 'half');
    const next = openSpool();
    const found = await next.open();
    expect(found.map(({ sequence }) => sequence)).toEqual([2, 10]);
    expect(readdirSync(calls).every((name) => name.endsWith('.call'))).toBe(true);
    expect(await next.read(found[0]!)).toMatchObject({ knownCheckpoint: header.knownCheckpoint });
    expect([next.callCount, next.usedBytes]).toEqual([2, 8_192]);
  });

  test('takes as many bytes as it may, and again once some are gone', async () => {
    const spool = openSpool({ maxBytes: 8_192 });
    await spool.open();
    const stored = await spool.put(headerOf(), 1, packedLeaves);
    await spool.put(headerOf(), 2, packedLeaves);
    expect(spool.isOpen).toBe(false);
    await expect(spool.put(headerOf(), 3, packedLeaves)).rejects.toMatchObject({ code: 'SPOOL_FULL' });
    await spool.remove(stored);
    expect(spool.isOpen).toBe(true);
    await spool.put(headerOf(), 3, packedLeaves);
  });

  // Red when `put` keeps counting what it could not write.
  test('says that nothing was kept where it cannot write, and finds out by itself when it can again', async () => {
    const spool = openSpool();
    await spool.open();
    const header = headerOf();
    // A file in the way of the directory stands for any disk that refuses, also as root.
    const inTheWay = join(directory, 'calls', header.clusterId);
    writeFileSync(inTheWay, '');
    await expect(spool.put(header, 1, packedLeaves)).rejects.toMatchObject({ code: 'SPOOL_FAILED' });
    expect([spool.isOpen, spool.usedBytes]).toEqual([false, 0]);
    await spool.probe();
    expect(spool.isOpen).toBe(true);
    rmSync(inTheWay);
    await spool.put(header, 1, packedLeaves);
    expect(spool.callCount).toBe(1);
  });

  test('is readable by its owner alone', async () => {
    const path = join(directory, 'below');
    const spool = openSpool({ path });
    await spool.open();
    const stored = await spool.put(headerOf(), 1, packedLeaves);
    expect(statSync(path).mode & 0o077).toBe(0);
    expect(statSync(stored.path).mode & 0o077).toBe(0);
  });
});

describe('calls that are anchored', () => {
  let nowMs = 0;
  const keys = Array.from({ length: 5 }, (_, i) => String(i).repeat(64));
  const open = async (maxCalls = 100) => {
    const calls = new AnchoredCalls(directory, { retentionMs: 1_000, now: () => nowMs, maxCalls });
    await calls.open();
    return calls;
  };
  beforeEach(() => {
    nowMs = 10_000;
  });

  // Red when `#forgetOld` looks at no time, or at no number.
  test('are remembered across restarts, for their time, and no more of them than may be', async () => {
    const ids = keys.map(() => randomUUID());
    const first = await open();
    await Promise.all([first.remember(keys[0]!, ids[0]!), first.remember(keys[1]!, ids[1]!)]);
    nowMs += 900;
    await first.remember(keys[2]!, ids[2]!);
    const next = await open();
    expect(keys.slice(0, 3).map((key) => next.find(key))).toEqual(ids.slice(0, 3));
    nowMs += 200;
    expect(keys.slice(0, 3).map((key) => next.find(key))).toEqual([undefined, undefined, ids[2]]);
    const small = await open(2);
    await small.remember(keys[3]!, ids[3]!);
    await small.remember(keys[4]!, ids[4]!);
    expect(keys.slice(2).map((key) => small.find(key))).toEqual([undefined, ids[3], ids[4]]);
    for (const calls of [first, next, small]) await calls.close();
  });

  // Red when a line is believed without its checksum, and when the next one is appended to a torn one.
  test('are found behind a line that was torn, and the torn one is not', async () => {
    const path = join(directory, 'anchored.log');
    const [one, two] = [randomUUID(), randomUUID()];
    const first = await open();
    await first.remember(keys[0]!, one);
    const line = readFileSync(path, 'utf8').trim();
    appendFileSync(path, line.replaceAll('0'.repeat(64), '1'.repeat(64)).slice(0, -3));
    await first.remember(keys[2]!, two);
    const next = await open();
    expect(keys.slice(0, 3).map((key) => next.find(key))).toEqual([one, undefined, two]);
    await first.close();
    await next.close();
  });

  test('take no more room on disk than twice what is remembered, and a little', async () => {
    const calls = await open(10);
    const path = join(directory, 'anchored.log');
    for (let i = 0; i < 3_000; i++) void calls.remember(String(i).padStart(64, '0'), randomUUID());
    await calls.remember('f'.repeat(64), randomUUID());
    expect(readFileSync(path, 'utf8').trim().split('\n').length).toBeLessThan(1_100);
    await calls.close();
  });
});
