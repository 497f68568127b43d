import fc from 'fast-check';
import {
  beginFrame,
  FRAME_HEADER_BYTES,
  KIND,
  type Kind,
  stampFrames,
} from '../../../src/gateway/journal/frame.ts';
import { FrameScanner } from '../../../src/gateway/journal/frame-scanner.ts';
import { JournalState } from '../../../src/gateway/journal/journal-state.ts';
import { readRecord } from '../../../src/gateway/journal/read-record.ts';
import { RecordFrames } from '../../../src/gateway/journal/record-frames.ts';
import {
  formatSegmentHeader,
  parseSegmentHeader,
  SEGMENT_HEADER_BYTES,
} from '../../../src/gateway/journal/segment-header.ts';
import { damagedBytes } from '../mutation.ts';
import { asBytes, must, type Target } from '../target.ts';

const SALT = 0x5eed_5eed;
const CLUSTER_ID = '0190a1b2-0000-7000-8000-000000000001';
const REFUSAL = { status: 'INVALID_ARGUMENT', reason: 'R', message: 'no' };
const batch = (id: number, ...runs: number[]) => ({ requestId: `request ${id}`, etcdRevision: 7n, runs });
const leafOf = (sequence: number) => Buffer.alloc(32, sequence + 1);
const eventIdOf = (sequence: number) =>
  sequence % 2 === 0 ? undefined : Buffer.from(`event ${sequence}`.repeat(5));

const RECORDS: readonly ((frames: RecordFrames) => void)[] = [
  ...Array.from(
    { length: 8 },
    (_, n) => (frames: RecordFrames) => frames.leaf(n, 1_700, leafOf(n), eventIdOf(n)),
  ),
  (frames) => frames.sealed(batch(1, 0, 2)),
  (frames) => frames.settled(batch(1, 0, 2), 'a checkpoint'),
  (frames) => frames.sealed(batch(2, 2, 4)),
  (frames) => frames.split('request 2', [batch(3, 2, 1), batch(4, 3, 1, 5, 1)]),
  (frames) => frames.buried(batch(3, 2, 1), REFUSAL, 1_800),
  (frames) => frames.revived(batch(3, 2, 1)),
  (frames) => frames.checkpoint('another checkpoint'),
];

/** In which way an input is read: as a segment, or as the body of a record whose checks hold. */
const AS_SEGMENT = 0;
const AS_RECORD = 1;

const HEADER = formatSegmentHeader({
  clusterId: CLUSTER_ID,
  number: 1,
  previousNumber: 0,
  previousBytes: 0,
  nextSequence: 0,
  salt: SALT,
});

/**
 * Whatever stands in a segment, its frames and its damage are all of it, in order; each leaf that is read is one that was
 * written. A record that is accepted is written again byte for byte.
 *
 * Seen red: with the checksum of bodies not looked at; with numbers in more bytes than they need.
 */
export const journal: Target = {
  name: 'journal',
  share: 10,
  open: () => ({
    inputs: fc.oneof(
      damagedBytes([segmentOf(RECORDS), segmentOf(RECORDS.slice(0, 10))]),
      damagedBytes(RECORDS.map(recordOf)),
    ),
    check(input) {
      const bytes = Buffer.from(asBytes(input));
      if (bytes.length === 0) return false;
      const content = bytes.subarray(1);
      return bytes[0] === AS_SEGMENT ? checkSegment(content) : checkRecord(content);
    },
    growth: [
      {
        name: 'a segment of many leaves',
        from: 2_000,
        prepare: (n) => reading(segmentOf(Array.from({ length: n }, () => RECORDS[1]!)).subarray(1)),
      },
      { name: 'a segment of noise', from: 50_000, prepare: (n) => reading(noise(n)) },
      {
        name: 'a segment of what begins like frames',
        from: 50_000,
        prepare: (n) => reading(Buffer.concat([HEADER, Buffer.alloc(n, KIND.leaf)])),
      },
    ],
  }),
};

function segmentOf(records: readonly ((frames: RecordFrames) => void)[]): Buffer {
  const frames = new RecordFrames();
  for (const record of records) record(frames);
  stampFrames(frames.bytes, frames.length, SALT, SEGMENT_HEADER_BYTES);
  return Buffer.concat([Buffer.of(AS_SEGMENT), HEADER, frames.bytes.subarray(0, frames.length)]);
}

/** The kind, then the body. */
function recordOf(record: (frames: RecordFrames) => void): Buffer {
  const frames = new RecordFrames();
  record(frames);
  const body = frames.bytes.subarray(FRAME_HEADER_BYTES, frames.length);
  return Buffer.concat([Buffer.of(AS_RECORD, frames.bytes[4] ?? 0), body]);
}

function checkSegment(bytes: Buffer): boolean {
  const header = parseSegmentHeader(bytes.subarray(0, SEGMENT_HEADER_BYTES));
  if (header === undefined || header === 'later-version') return false;
  must(HEADER.equals(formatSegmentHeader(header)), 'a header was read that nobody wrote');
  const state = new JournalState({ use() {}, drop() {} });
  let position = SEGMENT_HEADER_BYTES;
  let frames = 0;
  const scanner = new FrameScanner(header.salt, position, {
    frame(kind, body, at) {
      must(at === position, `a frame at ${at} where ${position} is next`);
      if (!readRecord(kind, body, state)) return false;
      position += FRAME_HEADER_BYTES + body.length;
      frames++;
      return true;
    },
    damage(damage) {
      must(
        damage.from === position && damage.bytes > 0,
        `damage at ${damage.from} where ${position} is next`,
      );
      position += damage.bytes;
    },
  });
  scanner.push(Buffer.from(bytes.subarray(SEGMENT_HEADER_BYTES)));
  scanner.end();
  must(position === Math.max(bytes.length, SEGMENT_HEADER_BYTES), 'some bytes are neither frame nor damage');
  for (const { batch, left } of state.finishReplay())
    must(batch.runs !== left, 'a whole batch is called broken');
  for (const sequence of state.leaves.all()) {
    must(leafOf(sequence).equals(state.leaves.leaf(sequence)), 'a leaf that nobody wrote');
    const [read, wrote] = [state.leaves.eventId(sequence), eventIdOf(sequence)];
    must(read === undefined ? wrote === undefined : wrote?.equals(read) === true, 'another event id');
  }
  return frames > 0;
}

/** Whatever checks do not keep out. */
function checkRecord(bytes: Buffer): boolean {
  const [kind = 0] = bytes;
  if (kind < KIND.leaf || kind > KIND.checkpoint) return false;
  const body = bytes.subarray(1);
  const again = new RecordFrames();
  if (!readRecord(kind as Kind, body, again)) return false;
  const expected = Buffer.alloc(FRAME_HEADER_BYTES);
  beginFrame(expected, 0, kind as Kind, body.length);
  const written = again.bytes.subarray(0, again.length);
  must(written.subarray(4, 8).equals(expected.subarray(4, 8)), 'it is written again as another record');
  must(written.subarray(FRAME_HEADER_BYTES).equals(body), 'it is written again with other bytes');
  return true;
}

function noise(bytes: number): Buffer {
  const made = Buffer.alloc(SEGMENT_HEADER_BYTES + bytes);
  for (let at = 0, state = 1; at < made.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    made[at] = state >>> 24;
  }
  HEADER.copy(made);
  return made;
}

/** The reading alone. */
function reading(segment: Buffer): () => void {
  return () => {
    const scanner = new FrameScanner(SALT, SEGMENT_HEADER_BYTES, {
      frame: (kind, body) => readRecord(kind, body, new RecordFrames()),
      damage() {},
    });
    scanner.push(segment.subarray(SEGMENT_HEADER_BYTES));
    scanner.end();
  };
}
