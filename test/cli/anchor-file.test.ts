import { createHash } from 'node:crypto';
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { type AnchoringResult, type AnchoringTask, anchorFile } from '../../src/cli/anchoring/anchor-file.ts';
import { findLine } from '../../src/cli/anchoring/find-line.ts';
import { CLUSTER, MemoryNotary } from './memory-notary.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const directory = temporaryDirectory();
let files = 0;

/** A file of its own for each test. */
function file(content: string): { readonly path: string; readonly manifest: string } {
  const path = join(directory, `log-${files++}`);
  writeFileSync(path, content);
  return { path, manifest: `${path}.manifest.jsonl` };
}

async function anchor(
  { path, manifest }: { readonly path: string; readonly manifest: string },
  notary: MemoryNotary,
  options: Partial<AnchoringTask> = {},
): Promise<AnchoringResult> {
  const source = await open(path, 'r');
  try {
    return await anchorFile(
      {
        clusterId: CLUSTER,
        fileName: path,
        source,
        manifestPath: manifest,
        batchLines: 2,
        pinnedKeys: [],
        onProgress: () => {},
        ...options,
      },
      notary,
    );
  } finally {
    await source.close();
  }
}

const hashesOf = (...lines: string[]): string[] =>
  lines.map((line) => createHash('sha256').update(line).digest('hex'));

describe('anchorFile', () => {
  test('anchors each line once, in batches, and says what it did', async () => {
    const notary = new MemoryNotary();
    const log = file('a\nb\nc\n');
    expect(await anchor(log, notary)).toMatchObject({ lines: 3, batches: 2, replayed: 0, linesInAll: 3 });
    expect(notary.leaves).toEqual(hashesOf('a', 'b', 'c'));
    const { line } = await findLine(log.manifest, 3);
    expect(line).toMatchObject({ line: 3, leaf: hashesOf('c')[0], leaf_index: 0 });
  });

  test('a second run anchors only what was appended, and presents its checkpoint again', async () => {
    const notary = new MemoryNotary();
    const log = file('a\nb\n');
    const first = await anchor(log, notary);
    writeFileSync(log.path, 'a\nb\nc\n');
    expect(await anchor(log, notary)).toMatchObject({ lines: 1, linesInAll: 3 });
    expect(first.checkpoint?.size).toBe(1);
    expect(await anchor(log, notary)).toMatchObject({ lines: 0, batches: 0, linesInAll: 3 });
    expect(notary.leaves).toEqual(hashesOf('a', 'b', 'c'));
  });

  test('an empty file has nothing to anchor', async () => {
    expect(await anchor(file(''), new MemoryNotary())).toMatchObject({ lines: 0, linesInAll: 0 });
  });

  // Seen red: with the `batch` entry not written before the call, and with a new request_id for a pending batch.
  test('goes on after a crash at every write, whole or torn, with no line lost and none twice', async () => {
    const whole = file('a\nb\nc\nd\ne');
    await anchor(whole, new MemoryNotary());
    for (const cut of cutsOf(readFileSync(whole.manifest))) {
      // The crash comes before the notary has done its part in the call that follows the write, or after.
      for (const phase of ['before', 'after'] as const) {
        const notary = new MemoryNotary();
        const log = file('a\nb\nc\nd\ne');
        await crashAt(log, notary, cut, phase);
        await anchor(log, notary);
        expect({ cut, leaves: notary.leaves }).toEqual({ cut, leaves: hashesOf('a', 'b', 'c', 'd', 'e') });
        for (const line of [1, 2, 3, 4, 5]) expect((await findLine(log.manifest, line)).line.line).toBe(line);
      }
    }
  });

  test('a torn batch that a power cut filled with zeros is sent again under its request id', async () => {
    const notary = new MemoryNotary();
    const log = file('a\nb\nc\n');
    await anchor(log, notary);
    const text = readFileSync(log.manifest, 'utf8');
    const at = text.lastIndexOf('{"line":3');
    writeFileSync(log.manifest, `${text.slice(0, at)}${'\0'.repeat(40)}\n${text.slice(at + 41)}`);
    expect(await anchor(log, notary)).toMatchObject({ lines: 1, replayed: 1 });
    expect(notary.leaves).toEqual(hashesOf('a', 'b', 'c'));
  });

  test('damage that no crash explains is refused, and the manifest left as it is', async () => {
    const notary = new MemoryNotary();
    const log = file('a\nb\nc\n');
    await anchor(log, notary);
    const damaged = readFileSync(log.manifest, 'utf8').replace('"line":1,', '"line":9,');
    writeFileSync(log.manifest, damaged);
    await expect(anchor(log, notary)).rejects.toThrow(/damaged at its line 4/);
    expect(readFileSync(log.manifest, 'utf8')).toBe(damaged);
  });

  test('a file that is no manifest is refused, and left as it is', async () => {
    const log = file('a\n');
    writeFileSync(log.manifest, 'my diary\n');
    await expect(anchor(log, new MemoryNotary())).rejects.toThrow(/is no manifest/);
    expect(readFileSync(log.manifest, 'utf8')).toBe('my diary\n');
  });

  test('a changed line is named, and nothing is sent', async () => {
    const notary = new MemoryNotary();
    const log = file('a\nb\nc\n');
    await anchor(log, notary);
    writeFileSync(log.path, 'a\nB\nc\nd\n');
    await expect(anchor(log, notary)).rejects.toThrow(/line 2 of .* is no longer what was anchored/);
    expect(notary.leaves).toHaveLength(3);
  });

  test('a file that was cut off is refused', async () => {
    const notary = new MemoryNotary();
    const log = file('a\nb\nc\n');
    await anchor(log, notary);
    truncateSync(log.path, 4);
    await expect(anchor(log, notary)).rejects.toThrow(/line 3 of .* is no longer/);
  });

  test('lines that changed while their batch was in flight are not sent under its request id', async () => {
    const notary = new MemoryNotary();
    const log = file('a\nb\n');
    notary.onCall = () => {
      throw new Error('killed');
    };
    await expect(anchor(log, notary)).rejects.toThrow('killed');
    notary.onCall = () => {};
    writeFileSync(log.path, 'a\nX\n');
    await expect(anchor(log, notary)).rejects.toThrow(/lines 1 to 2 .* have changed since/);
    expect(notary.leaves).toEqual([]);
  });

  describe('a last line without LF', () => {
    test('is anchored as it is, and not again when only its LF comes', async () => {
      const notary = new MemoryNotary();
      const log = file('a\nb');
      expect(await anchor(log, notary)).toMatchObject({ lines: 2, unterminatedLine: 2 });
      writeFileSync(log.path, 'a\nb\nc\n');
      expect(await anchor(log, notary)).toMatchObject({
        lines: 1,
        linesInAll: 3,
        unterminatedLine: undefined,
      });
      expect(notary.leaves).toEqual(hashesOf('a', 'b', 'c'));
    });

    test('is anchored once more, whole, when it has grown, and the newest counts', async () => {
      const notary = new MemoryNotary();
      const log = file('a\nb');
      await anchor(log, notary);
      writeFileSync(log.path, 'a\nbig\nc\n');
      expect(await anchor(log, notary)).toMatchObject({ lines: 2, linesInAll: 3 });
      expect(notary.leaves).toEqual(hashesOf('a', 'b', 'big', 'c'));
      expect((await findLine(log.manifest, 2)).line.leaf).toBe(hashesOf('big')[0]);
    });

    test('is refused when its beginning has changed', async () => {
      const notary = new MemoryNotary();
      const log = file('a\nb');
      await anchor(log, notary);
      writeFileSync(log.path, 'a\nxy\n');
      await expect(anchor(log, notary)).rejects.toThrow(/line 2 of .* is no longer/);
    });
  });

  describe('an answer', () => {
    test('of a notary with another key is refused, and nothing is written as anchored', async () => {
      const honest = new MemoryNotary();
      const log = file('a\n');
      await anchor(log, honest);
      writeFileSync(log.path, 'a\nb\n');
      await expect(anchor(log, new MemoryNotary(8))).rejects.toThrow(
        /lines 2 to 2 does not verify \(UNKNOWN_KEY\)/,
      );
      await expect(findLine(log.manifest, 2)).rejects.toThrow(/line 2 is not anchored/);
    });

    test('of a log that was rolled back is refused', async () => {
      const notary = new MemoryNotary();
      const log = file('a\nb\nc\n');
      await anchor(log, notary);
      writeFileSync(log.path, 'a\nb\nc\nd\n');
      const rolledBack = new MemoryNotary();
      await expect(anchor(log, rolledBack)).rejects.toThrow(
        /does not verify \((SIZE_SHRANK|CONSISTENCY_PATH)\)/,
      );
    });

    test('is verified with the keys that are given, which replace those of the first run', async () => {
      const notary = new MemoryNotary();
      const log = file('a\n');
      const stranger = new MemoryNotary(9).log.vkey;
      await expect(anchor(log, notary, { pinnedKeys: [stranger] })).rejects.toThrow(/UNKNOWN_KEY/);
      expect(await anchor(log, notary, { pinnedKeys: [notary.log.vkey] })).toMatchObject({ replayed: 1 });
      writeFileSync(log.path, 'a\nb\n');
      expect((await anchor(log, notary, { pinnedKeys: [notary.log.vkey] })).keys.pinned).toBe(true);
      expect((await anchor(log, notary)).keys).toMatchObject({ pinned: true, vkeys: [notary.log.vkey] });
    });

    // Seen red when the given keys were written down before they had verified anything, and not at all behind an interrupted
    // batch: `prove` and the next run then worked with the wrong ones.
    test('leaves the right keys in the manifest, whatever was given by mistake before', async () => {
      const notary = new MemoryNotary();
      const right = [notary.log.vkey];
      const wrong = [new MemoryNotary(9).log.vkey];
      const log = file('a\n');
      const keysKept = async () => (await findLine(log.manifest, 1)).state.keys.vkeys;
      await expect(anchor(log, notary, { pinnedKeys: wrong })).rejects.toThrow(/UNKNOWN_KEY/);
      await anchor(log, notary, { pinnedKeys: right });
      expect(await keysKept()).toEqual(right);
      await expect(anchor(log, notary, { pinnedKeys: wrong })).rejects.toThrow(/UNKNOWN_KEY/);
      expect(await keysKept()).toEqual(right);
      expect(await anchor(log, notary)).toMatchObject({ lines: 0, linesInAll: 1 });
    });

    test('cannot be verified with keys of another cluster only, so that nothing is sent', async () => {
      const notary = new MemoryNotary();
      const stranger = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
      const log = file('a\n');
      await expect(anchor(log, notary, { pinnedKeys: [stranger] })).rejects.toMatchObject({ code: 'USAGE' });
      expect(notary.leaves).toEqual([]);
      expect(existsSync(log.manifest)).toBe(false);
    });
  });

  test('a manifest of another cluster is a mistake of whoever typed the command', async () => {
    const log = file('a\n');
    await anchor(log, new MemoryNotary());
    const other = '11111111-1111-4111-8111-111111111111';
    await expect(anchor(log, new MemoryNotary(), { clusterId: other })).rejects.toMatchObject({
      code: 'USAGE',
    });
  });

  // Seen red without either check: a manifest with keys that verify nothing stayed behind, and a limit of 0 lines was a RangeError.
  test.each([
    ['no key', { vkeys: [] }],
    ['no key in it', { vkeys: ['<html>'] }],
    ['the key of another', { vkeys: ['PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW'] }],
    ['a limit of 0', { maxLeafCount: 0 }],
    ['a limit below 0', { maxLeafCount: -1 }],
  ])('a notary that names %s is refused before anything is written', async (_, answer) => {
    const notary = new MemoryNotary();
    const log = file('a\n');
    const honest = await notary.getLog();
    notary.getLog = async () => ({ ...honest, ...answer });
    await expect(anchor(log, notary)).rejects.toMatchObject({ code: 'REFUSED' });
    expect(existsSync(log.manifest)).toBe(false);
  });

  test("batches are no larger than the notary's limit", async () => {
    const notary = new MemoryNotary();
    notary.maxLeafCount = 1;
    expect(await anchor(file('a\nb\n'), notary)).toMatchObject({ lines: 2, batches: 2 });
  });
});

/**
 * Leaves the manifest and the notary as a SIGKILL does when the manifest has `cut` bytes: the run is stopped at the first call
 * at which the manifest is that long or longer, before or after the notary has done its part, and what was written beyond is
 * cut off.
 */
async function crashAt(
  log: { readonly path: string; readonly manifest: string },
  notary: MemoryNotary,
  cut: number,
  phase: 'before' | 'after',
): Promise<void> {
  const killed = new Error('killed');
  let calls = 0;
  notary.onCall = (now) => {
    if (now === 'before') {
      calls++;
      // The batch entry that is being written when the crash comes has not been sent.
      if (readFileSync(log.manifest).length > cut) throw killed;
    }
    if (now === phase && calls > 0 && readFileSync(log.manifest).length === cut) throw killed;
  };
  await anchor(log, notary).catch((error: unknown) => {
    if (error !== killed) throw error;
  });
  notary.onCall = () => {};
  truncateSync(log.manifest, Math.min(cut, readFileSync(log.manifest).length));
}

/** Of what is written after the header and the keys: nothing, all, and for each entry its first byte, its half, all but its LF, all. */
function cutsOf(manifest: Buffer): number[] {
  const ends = [...manifest.keys()].filter((index) => manifest[index] === 0x0a).map((index) => index + 1);
  const [, written = 0, ...rest] = ends;
  let start = written;
  const cuts = [written];
  for (const end of rest) {
    cuts.push(start + 1, Math.floor((start + end) / 2), end - 1, end);
    start = end;
  }
  return cuts;
}
