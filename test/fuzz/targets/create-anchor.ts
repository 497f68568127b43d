import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { type CreateAnchorRequest, CreateAnchorRequestSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { decodeCreateAnchor, type ReceivedBatch } from '../../../src/server/create-anchor-codec.ts';
import { damagedBytes } from '../mutation.ts';
import { asBytes, must, type Target } from '../target.ts';

const MANY = 1_000_000;
const MAX_OTHER_BYTES = 64 * 1024;

const leaf = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ minLength: 32, maxLength: 32 }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 140 }) },
);
const message = fc
  .record(
    {
      clusterId: fc.string({ maxLength: 40 }),
      leaves: fc.array(leaf, { maxLength: 6 }),
      etcdRevision: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      requestId: fc.string({ maxLength: 40 }),
      knownCheckpoint: fc.string({ maxLength: 40 }),
      packedLeaves: fc.uint8Array({ maxLength: 70 }),
    },
    { requiredKeys: [] },
  )
  .map((fields) => toBinary(CreateAnchorRequestSchema, create(CreateAnchorRequestSchema, fields)));

const SEEDS = [
  ...fc.sample(message, { seed: 1, numRuns: 60 }),
  // The tag of leaves, with a bit beyond the 32 that a tag has.
  Uint8Array.from([0x92, 0x80, 0x80, 0x80, 0x10, 0]),
  Uint8Array.from([0xb2, 0x80, 0x80, 0x80, 0x10, 1, 7]),
];

/** One field by hand: any number, any wire type, lengths that may lie. */
const field = fc
  .tuple(fc.oneof(fc.nat(8), fc.nat(40)), fc.nat(7), fc.uint8Array({ maxLength: 40 }), fc.nat(9))
  .map(([number, wireType, content, lie]) => {
    const length = lie === 0 ? content.length + 1 : lie === 1 ? 0 : content.length;
    return [(number << 3) | wireType, ...(wireType === 2 ? [length] : []), ...content].map(
      (byte) => byte & 0xff,
    );
  });

/**
 * The reader by hand against the generated one of protobuf-es: what both accept says the same, what only one accepts is one of
 * the differences that are meant (see `meantToBeRefused`).
 *
 * Seen red: with a wire type that is not the field's own taken for it; with gaps left where leaves of another length were.
 */
export const createAnchor: Target = {
  name: 'create-anchor',
  share: 20,
  open: () => ({
    inputs: fc.oneof(
      { weight: 3, arbitrary: damagedBytes(SEEDS) },
      {
        weight: 2,
        arbitrary: fc.array(field, { maxLength: 6 }).map((fields) => Uint8Array.from(fields.flat())),
      },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }) },
      { weight: 1, arbitrary: message },
    ),
    check(input) {
      const bytes = asBytes(input);
      const generated = attempt(() =>
        fromBinary(CreateAnchorRequestSchema, bytes, { readUnknownFields: false }),
      );
      const byHand = attempt(() => decodeCreateAnchor(bytes, MANY));
      if (byHand === undefined) {
        must(
          generated === undefined || isMeantToBeRefused(bytes),
          'refused what the generated reader accepts',
        );
        return false;
      }
      must(generated !== undefined, 'accepted what the generated reader refuses');
      must(
        byHand.fields.leaves.length === 0 && byHand.fields.packedLeaves.length === 0,
        'leaves among the other fields',
      );
      const [ours, theirs] = [shown(byHand), shown(expected(generated))];
      must(ours === theirs, `read ${ours}, the generated reader ${theirs}`);
      return true;
    },
    growth: [
      {
        name: 'many leaves',
        from: 5_000,
        prepare: (n) => reading(Buffer.concat(Array.from({ length: n }, () => LEAF))),
      },
      {
        name: 'many leaves of no bytes',
        from: 100_000,
        prepare: (n) => reading(Buffer.alloc(2 * n, Buffer.from([0x12, 0]))),
      },
      {
        name: 'many packed leaves',
        from: 100_000,
        prepare: (n) => reading(Buffer.alloc(2 * n, Buffer.from([0x32, 0]))),
      },
      {
        name: 'many small fields',
        from: 4_000,
        prepare: (n) => reading(Buffer.alloc(2 * n, Buffer.from([0x18, 1]))),
      },
      {
        name: 'one long cluster id',
        from: 8_000,
        prepare: (n) => reading(Buffer.from([0x0a, 0xff, 0xff, 3, ...new Uint8Array(n)])),
      },
      { name: 'many bytes that go on', from: 100_000, prepare: (n) => reading(Buffer.alloc(n, 0xff)) },
    ],
  }),
};

const LEAF = Buffer.concat([Buffer.from([0x12, 32]), Buffer.alloc(32, 5)]);

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const { name, message: said } = error as Error;
    // Of the generated reader, of TextDecoder (invalid UTF-8), and ours.
    const isRefusal =
      name === 'RequestError' ||
      (name === 'Error' && error instanceof Error) ||
      (name === 'RangeError' && /premature EOF|invalid/.test(said)) ||
      (name === 'TypeError' && /encoded data was not valid/.test(said));
    if (!isRefusal) throw error;
    return undefined;
  }
}

/** What the reader by hand says of the message that the generated reader read. */
function expected(request: CreateAnchorRequest): ReceivedBatch {
  const lengths = request.leaves.map(({ byteLength }, index) => ({ index, byteLength }));
  const misfits = lengths.filter(({ byteLength }) => byteLength !== 32);
  return {
    fields: { ...request, leaves: [], packedLeaves: new Uint8Array() },
    leafCount: request.leaves.length,
    leaves: Buffer.concat(request.leaves.filter(({ byteLength }) => byteLength === 32)),
    misfits: misfits.slice(0, 8),
    misfitCount: misfits.length,
    packedLeaves: request.packedLeaves,
  };
}

function shown({ fields, leafCount, leaves, misfits, misfitCount, packedLeaves }: ReceivedBatch): string {
  const { clusterId, etcdRevision, requestId, knownCheckpoint } = fields;
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  return JSON.stringify([
    ...[clusterId, String(etcdRevision), requestId, knownCheckpoint, leafCount, hex(leaves)],
    ...[misfits, misfitCount, hex(packedLeaves)],
  ]);
}

/** Groups, a known field of another wire type than its own, tags and lengths above 32 bits, too much besides the leaves. */
function isMeantToBeRefused(bytes: Uint8Array): boolean {
  const WIRE_TYPES = new Map([
    [1, 2],
    [2, 2],
    [3, 0],
    [4, 2],
    [5, 2],
    [6, 2],
  ]);
  let position = 0;
  let others = 0;
  const varint = (most: number): bigint | undefined => {
    let value = 0n;
    for (let i = 0; i < most; i++) {
      const byte = bytes[position++];
      if (byte === undefined) return undefined;
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) return value;
    }
    return undefined;
  };
  while (position < bytes.length) {
    const start = position;
    const tag = varint(5);
    if (tag === undefined || tag > 0xffff_ffffn) return true;
    const wireType = Number(tag & 7n);
    const number = Number(tag >> 3n);
    if (wireType === 3 || wireType === 4) return true;
    if ((WIRE_TYPES.get(number) ?? wireType) !== wireType) return true;
    if (wireType === 0 && varint(10) === undefined) return true;
    if (wireType === 1) position += 8;
    if (wireType === 5) position += 4;
    if (wireType === 2) {
      const length = varint(5);
      if (length === undefined || length > 0xffff_ffffn) return true;
      position += Number(length);
    }
    if (number !== 2 && number !== 6) others += position - start;
  }
  return others > MAX_OTHER_BYTES || position > bytes.length;
}

function reading(bytes: Uint8Array): () => void {
  return () => void attempt(() => decodeCreateAnchor(bytes, MANY * 8));
}
