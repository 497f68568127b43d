import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FRAME_HEADER_BYTES, kindAt } from '../../../src/gateway/journal/frame.ts';
import { type RecordVisitor, readRecord } from '../../../src/gateway/journal/read-record.ts';
import { type BatchRecord, RecordFrames } from '../../../src/gateway/journal/record-frames.ts';
import { countOf, type Runs, runsOf } from '../../../src/gateway/journal/runs.ts';
import { requestId } from '../outbox-contract.ts';

type Told = readonly [name: string, ...given: unknown[]];

/** Writes down what it is told. */
function listener(told: Told[]): RecordVisitor {
  return {
    leaf: (sequence, atMs, leaf, eventId) =>
      told.push(['leaf', sequence, atMs, Uint8Array.from(leaf), eventId && Uint8Array.from(eventId)]),
    sealed: (...given) => told.push(['sealed', ...given]),
    settled: (...given) => told.push(['settled', ...given]),
    split: (...given) => told.push(['split', ...given]),
    buried: (...given) => told.push(['buried', ...given]),
    revived: (...given) => told.push(['revived', ...given]),
    checkpoint: (...given) => told.push(['checkpoint', ...given]),
  };
}

const MOST_48_BITS = 2 ** 48 - 1;
const sequence = fc.integer({ min: 0, max: 2 ** 47 });
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const batch: fc.Arbitrary<BatchRecord> = fc.record({
  requestId: text,
  etcdRevision: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  runs: fc.uniqueArray(sequence, { minLength: 1, maxLength: 8 }).map(runsOf),
});
const refusal = fc.record({ status: text, reason: text, message: text });
const written: fc.Arbitrary<Told> = fc.oneof(
  fc.tuple(
    fc.constant('leaf'),
    fc.integer({ min: 0, max: MOST_48_BITS }),
    fc.integer({ min: 0, max: MOST_48_BITS }),
    fc.uint8Array({ minLength: 32, maxLength: 32 }),
    fc.option(fc.uint8Array({ maxLength: 50 }), { nil: undefined }),
  ),
  fc.tuple(fc.constantFrom('sealed', 'revived'), batch),
  fc.tuple(
    fc.constant('settled'),
    batch,
    fc.option(
      text.filter((note) => note !== ''),
      { nil: undefined },
    ),
  ),
  fc.tuple(fc.constant('split'), text, fc.array(batch, { maxLength: 4 })),
  fc.tuple(fc.constant('buried'), batch, refusal, fc.nat(Number.MAX_SAFE_INTEGER)),
  fc.tuple(fc.constant('checkpoint'), text),
);

function write([name, ...given]: Told): { body: Buffer; read: (body: Buffer) => Told[] | undefined } {
  const frames = new RecordFrames();
  // biome-ignore lint/complexity/noBannedTypes: the names are those of the visitor, and so are the arguments.
  (frames as unknown as Record<string, Function>)[name]!(...given);
  const kind = kindAt(frames.bytes, 0);
  return {
    body: Buffer.from(frames.bytes.subarray(FRAME_HEADER_BYTES, frames.length)),
    read(body) {
      const told: Told[] = [];
      return readRecord(kind, body, listener(told)) ? told : undefined;
    },
  };
}

test('what is written of a record is what is read', () => {
  fc.assert(
    fc.property(written, (record) => {
      const { body, read } = write(record);
      expect(read(body)).toEqual([record]);
    }),
  );
});

// Red when what follows a record is passed over, or a count is believed.
test('a record that is cut, or followed by a byte, is none', () => {
  fc.assert(
    fc.property(
      written.filter(([name, , , , eventId]) => name !== 'leaf' || eventId === undefined),
      (record) => {
        const { body, read } = write(record);
        expect(read(Buffer.concat([body, Buffer.alloc(1)]))).toBeUndefined();
        for (let cut = 0; cut < body.length; cut++) expect(read(body.subarray(0, cut))).toBeUndefined();
      },
    ),
    { numRuns: 50 },
  );
});

function* sequencesOf(runs: Runs): Generator<number> {
  for (let at = 0; at < runs.length; at += 2) {
    for (let n = 0; n < runs[at + 1]!; n++) yield runs[at]! + n;
  }
}

test('neighbours are written as one run, whatever they are', () => {
  fc.assert(
    fc.property(fc.array(sequence, { maxLength: 30 }), (sequences) => {
      expect([...sequencesOf(runsOf(sequences))]).toEqual(sequences);
      expect(countOf(runsOf(sequences))).toBe(sequences.length);
    }),
  );
  expect(runsOf([5, 6, 7, 9, 10, 2])).toEqual([5, 3, 9, 2, 2, 1]);
  const frames = new RecordFrames();
  const million = Array.from({ length: 1_000_000 }, (_, n) => 123_456_789 + n);
  frames.sealed({ requestId: requestId(1), etcdRevision: 0n, runs: runsOf(million) });
  expect(frames.length).toBeLessThan(80);
});
