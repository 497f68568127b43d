import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { KIND, kindAt, stampFrames } from '../../../src/gateway/journal/frame.ts';
import { type Damage, FrameScanner } from '../../../src/gateway/journal/frame-scanner.ts';
import { LEAF_FRAME_BYTES, RecordFrames } from '../../../src/gateway/journal/record-frames.ts';
import { leafOf } from '../outbox-contract.ts';

const SALT = 0x1234_5678;
const POSITION = 120;

interface Scanned {
  /** positions of frames */
  readonly frames: number[];
  readonly damages: Damage[];
}

function scan(pieces: readonly Buffer[], salt = SALT, position = POSITION): Scanned {
  const scanned: Scanned = { frames: [], damages: [] };
  const scanner = new FrameScanner(salt, position, {
    frame(_kind, _body, at) {
      scanned.frames.push(at);
      return true;
    },
    damage: (damage) => scanned.damages.push(damage),
  });
  // As a file is read: each piece into the same bytes.
  const buffer = Buffer.alloc(1 << 16);
  for (const piece of pieces) {
    piece.copy(buffer);
    scanner.push(buffer.subarray(0, piece.length));
    buffer.fill(0xee);
  }
  scanner.end();
  return scanned;
}

/** Frames of leaves with event ids of these lengths, and where each begins. */
function segment(lengths: readonly number[], salt = SALT): { bytes: Buffer; starts: number[] } {
  const frames = new RecordFrames();
  const starts: number[] = [];
  for (const [n, length] of lengths.entries()) {
    starts.push(POSITION + frames.length);
    frames.leaf(n, 1_700_000_000_000, leafOf(n), Buffer.alloc(length, n));
  }
  stampFrames(frames.bytes, frames.length, salt, POSITION);
  return { bytes: Buffer.from(frames.bytes.subarray(0, frames.length)), starts };
}

const lengths = fc.array(fc.nat(300), { minLength: 1, maxLength: 12 });

// Red when a frame that continues in the next piece is taken for damage, or what is left of a piece is not copied.
test('it does not matter in which pieces a segment comes', () => {
  fc.assert(
    fc.property(
      lengths,
      fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 20 }),
      fc.nat(),
      (given, cuts, at) => {
        const { bytes, starts } = segment(given);
        const damaged = Buffer.from(bytes);
        damaged[at % damaged.length]! ^= 0x10;
        const pieces: Buffer[] = [];
        let begin = 0;
        for (const cut of cuts) {
          pieces.push(damaged.subarray(begin, begin + cut));
          begin += cut;
        }
        pieces.push(damaged.subarray(begin));
        expect(scan([bytes]).frames).toEqual(starts);
        expect(scan(pieces)).toEqual(scan([damaged]));
      },
    ),
  );
});

// Red when reading goes on where a damaged length says.
test('after damage of any kind, every frame that was not touched is read', () => {
  fc.assert(
    fc.property(lengths, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 80 }), (given, at, by) => {
      const { bytes, starts } = segment(given);
      const from = at % bytes.length;
      const damaged = Buffer.from(bytes);
      damaged.set(by.subarray(0, bytes.length - from), from);
      const ends = [...starts.slice(1), POSITION + bytes.length];
      const untouched = starts.filter(
        (start, n) => ends[n]! <= POSITION + from || start >= POSITION + from + by.length,
      );
      const { frames } = scan([damaged]);
      expect(frames).toEqual(expect.arrayContaining(untouched));
      expect(starts).toEqual(expect.arrayContaining(frames));
    }),
  );
});

// An event id is what a client of the gateway chose. Red when the checks begin from nothing secret.
test('bytes that a stranger chose do not pass for a frame when damage is searched', () => {
  // As somebody makes them who knows the format, and where they will stand, but not the salt.
  const forged = Buffer.concat(
    Array.from({ length: 200 }, (_, n) => {
      const frames = new RecordFrames();
      frames.sealed({ requestId: 'x', etcdRevision: 0n, runs: [0, 1] });
      stampFrames(frames.bytes, frames.length, 0, POSITION + LEAF_FRAME_BYTES + n * frames.length);
      return frames.bytes.subarray(0, frames.length);
    }),
  );
  const frames = new RecordFrames();
  frames.leaf(0, 1, leafOf(0), forged);
  const next = POSITION + frames.length;
  frames.leaf(1, 1, leafOf(1), undefined);
  stampFrames(frames.bytes, frames.length, SALT, POSITION);
  const bytes = Buffer.from(frames.bytes.subarray(0, frames.length));
  bytes[7]! ^= 1;
  expect(scan([bytes])).toEqual({
    frames: [next],
    damages: [{ from: POSITION, bytes: next - POSITION, look: 'damaged' }],
  });
});

// Red when the checks begin from the salt alone.
test('a sound frame counts in its own place and its own segment only', () => {
  const { bytes } = segment([3, 3]);
  const first = bytes.subarray(0, bytes.length / 2);
  const swapped = Buffer.concat([bytes.subarray(bytes.length / 2), first]);
  expect(scan([swapped]).frames).toEqual([]);
  expect(scan([bytes], SALT + 1).frames).toEqual([]);
});

// Red when a body is judged by its checksum alone.
test('a body that makes no sense is damage, although its checks hold', () => {
  const { bytes, starts } = segment([1, 1, 1]);
  expect(kindAt(bytes, 0)).toBe(KIND.leafWithEventId);
  const damages: Damage[] = [];
  const scanner = new FrameScanner(SALT, POSITION, {
    frame: (_kind, _body, at) => at !== starts[1],
    damage: (damage) => damages.push(damage),
  });
  scanner.push(bytes);
  scanner.end();
  expect(damages).toEqual([{ from: starts[1], bytes: starts[2]! - starts[1]!, look: 'damaged' }]);
});
