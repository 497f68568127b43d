import { createHash } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hashLine, type LineBatch, type LineSource, scanLines } from '../../src/cli/anchoring/scan-lines.ts';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** A file in memory that gives at most so many bytes at a time. */
function sourceOf(content: Uint8Array, atMost = Number.MAX_SAFE_INTEGER): LineSource {
  const read = async (buffer: Buffer, offset: number, length: number, position: number) => {
    const part = content.subarray(position, position + Math.min(length, atMost));
    buffer.set(part, offset);
    return { bytesRead: part.length, buffer };
  };
  return { read } as unknown as LineSource;
}

async function scan(content: Uint8Array | string, maxLines = 1000, atMost?: number): Promise<LineBatch[]> {
  const batches: LineBatch[] = [];
  const source = sourceOf(typeof content === 'string' ? Buffer.from(content) : content, atMost);
  const whole = { firstLine: 1, firstOffset: 0, endOffset: undefined };
  for await (const batch of scanLines(source, whole, maxLines)) batches.push(batch);
  return batches;
}

const leavesOf = (batches: readonly LineBatch[]): string[] =>
  batches.flatMap(({ packedLeaves }) => Buffer.from(packedLeaves).toString('hex').match(/.{64}/g) ?? []);

/** The definition, on the whole file at once. */
function naiveLines(content: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  let start = 0;
  content.forEach((byte, index) => {
    if (byte !== 0x0a) return;
    lines.push(content.subarray(start, index));
    start = index + 1;
  });
  if (start < content.length) lines.push(content.subarray(start));
  return lines;
}

describe('scanLines', () => {
  test('an empty file has no lines', async () => {
    expect(await scan('')).toEqual([]);
  });

  test('what follows the last LF is a line, and is said to be unterminated', async () => {
    const [batch] = await scan('a\nbc');
    expect(leavesOf([batch!])).toEqual([sha256('a'), sha256('bc')]);
    expect(batch).toMatchObject({
      firstLine: 1,
      lineCount: 2,
      firstOffset: 0,
      endOffset: 4,
      unterminatedFrom: 2,
    });
  });

  test('an LF at the end begins no further line', async () => {
    const [batch] = await scan('a\n');
    expect(batch).toMatchObject({ lineCount: 1, endOffset: 2, unterminatedFrom: undefined });
  });

  test('an empty line is a line', async () => {
    expect(leavesOf(await scan('\n\nx\n'))).toEqual([sha256(''), sha256(''), sha256('x')]);
  });

  test('a CR belongs to its line', async () => {
    expect(leavesOf(await scan('a\r\nb\r\n'))).toEqual([sha256('a\r'), sha256('b\r')]);
  });

  test('NUL and bytes that are no UTF-8 are hashed as they are', async () => {
    const odd = Uint8Array.of(0, 0xff, 0xfe, 0, 0x0a, 0xc3, 0x28, 0x0a);
    expect(leavesOf(await scan(odd))).toEqual([sha256(odd.subarray(0, 4)), sha256(odd.subarray(5, 7))]);
  });

  test('a line of 10 MB is hashed across chunks', async () => {
    const long = Buffer.alloc(10_000_000, 'x');
    expect(leavesOf(await scan(Buffer.concat([long, Buffer.from('\nend\n')])))).toEqual([
      sha256(long),
      sha256('end'),
    ]);
  });

  test('any bytes, read in pieces of any size and in batches of any size, give the lines of the definition', async () => {
    const bytes = fc.array(fc.constantFrom(0x0a, 0x0d, 0x61, 0xff, 0x00), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(
        bytes,
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 9 }),
        async (content, max, piece) => {
          const file = Buffer.from(content);
          const batches = await scan(file, max, piece);
          expect(leavesOf(batches)).toEqual(naiveLines(file).map((line) => sha256(line)));
          let nextLine = 1;
          let nextOffset = 0;
          for (const batch of batches) {
            expect(batch.lineCount).toBeLessThanOrEqual(max);
            expect([batch.firstLine, batch.firstOffset]).toEqual([nextLine, nextOffset]);
            nextLine += batch.lineCount;
            nextOffset = batch.endOffset;
          }
          expect(nextOffset).toBe(file.length);
        },
      ),
    );
  });

  test('a range is read as if the file ended there', async () => {
    const source = sourceOf(Buffer.from('one\ntwo\nthree\n'));
    const batches: LineBatch[] = [];
    for await (const batch of scanLines(source, { firstLine: 2, firstOffset: 4, endOffset: 10 }, 10))
      batches.push(batch);
    expect(leavesOf(batches)).toEqual([sha256('two'), sha256('th')]);
    expect(batches[0]).toMatchObject({ firstLine: 2, endOffset: 10, unterminatedFrom: 8 });
  });
});

describe('hashLine', () => {
  test('lines count from 1, and there is none past the end', async () => {
    const source = sourceOf(Buffer.from('one\ntwo'));
    expect(Buffer.from((await hashLine(source, 2))!).toString('hex')).toBe(sha256('two'));
    expect(await hashLine(source, 3)).toBeUndefined();
  });
});
