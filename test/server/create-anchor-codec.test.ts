import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { CreateAnchorRequest } from '#gen/quartermaster/v1/notary_pb.js';
import { CreateAnchorRequestSchema, CreateAnchorResponseSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { decodeCreateAnchor, encodeCreateAnchor } from '../../src/server/create-anchor-codec.ts';
import { RequestError } from '../../src/server/error.ts';

const MANY = 1_000_000;

/** What the reader by hand says of the message that the generated reader read. */
function expected(request: CreateAnchorRequest) {
  const fitting = request.leaves.filter((leaf) => leaf.byteLength === 32);
  const misfits = request.leaves
    .map((leaf, index) => ({ index, byteLength: leaf.byteLength }))
    .filter(({ byteLength }) => byteLength !== 32);
  return {
    fields: { ...request, leaves: [], packedLeaves: new Uint8Array() },
    leafCount: request.leaves.length,
    leaves: Buffer.concat(fitting).toString('hex'),
    misfits: misfits.slice(0, 8),
    misfitCount: misfits.length,
    packedLeaves: Buffer.from(request.packedLeaves).toString('hex'),
  };
}

function decoded(bytes: Uint8Array) {
  const { leaves, packedLeaves, ...rest } = decodeCreateAnchor(bytes, MANY);
  return {
    ...rest,
    leaves: Buffer.from(leaves).toString('hex'),
    packedLeaves: Buffer.from(packedLeaves).toString('hex'),
  };
}

const leaf = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array({ minLength: 32, maxLength: 32 }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
);
const message = fc
  .record(
    {
      clusterId: fc.string(),
      leaves: fc.array(leaf, { maxLength: 40 }),
      etcdRevision: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      requestId: fc.string(),
      knownCheckpoint: fc.string(),
      packedLeaves: fc.uint8Array({ maxLength: 200 }),
    },
    { requiredKeys: [] },
  )
  .map((fields) => toBinary(CreateAnchorRequestSchema, create(CreateAnchorRequestSchema, fields)));

describe('reading CreateAnchor by hand', () => {
  test('agrees with the generated reader on every message, also on messages joined together', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 3 }), (messages) => {
        // Joined messages are one message (protobuf encoding, "Last One Wins"): lists grow, others are the last.
        const bytes = Buffer.concat(messages);
        expect(decoded(bytes)).toEqual(expected(fromBinary(CreateAnchorRequestSchema, bytes)));
      }),
    );
  });

  test('ignores unknown fields of every wire type', () => {
    const known = toBinary(
      CreateAnchorRequestSchema,
      create(CreateAnchorRequestSchema, { clusterId: 'c', leaves: [new Uint8Array(32)] }),
    );
    const unknown = [
      [0x78, 0x80, 0x80, 0x01], // field 15, varint
      [0x79, 1, 2, 3, 4, 5, 6, 7, 8], // fixed64
      [0x7a, 2, 9, 9], // bytes
      [0x7d, 1, 2, 3, 4], // fixed32
    ];
    const bytes = Buffer.concat([Buffer.from(unknown.flat()), known, Buffer.from(unknown.flat())]);
    expect(decoded(bytes)).toEqual(decoded(known));
  });

  test('never accepts what the generated reader refuses, and throws nothing but errors', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        let accepted: ReturnType<typeof decoded>;
        try {
          accepted = decoded(bytes);
        } catch (error) {
          // TextDecoder is of another realm than the test: instanceof would not do.
          expect(String(error)).toMatch(/^\w*Error: /);
          return;
        }
        expect(accepted).toEqual(
          expected(fromBinary(CreateAnchorRequestSchema, bytes, { readUnknownFields: false })),
        );
      }),
      { numRuns: 5_000 },
    );
  });

  test('refuses every truncation of a message with leaves inside a field', () => {
    const bytes = toBinary(
      CreateAnchorRequestSchema,
      create(CreateAnchorRequestSchema, { leaves: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)] }),
    );
    for (let length = 1; length < bytes.byteLength; length += 1) {
      if (length === 34) continue;
      expect(() => decodeCreateAnchor(bytes.subarray(0, length), MANY)).toThrow(RequestError);
    }
  });

  // Seen red: fields in another wire type were passed on, and read as their own with the bytes of whatever followed, so that
  // leaves came out where nobody looks for them.
  test.each([
    ['leaves as a number', [0x10, 0x00, 0x0a, 0x00]],
    ['packed leaves as 4 bytes', [0x35, 0, 0, 0, 0]],
    ['the cluster id as 8 bytes', [0x09, 0, 0, 0, 0, 0, 0, 0, 0]],
    ['the etcd revision as bytes', [0x1a, 0x01, 0x05]],
    ['a tag of 33 bits that ends in that of leaves', [0x92, 0x80, 0x80, 0x80, 0x10, 0x00]],
  ])('refuses %s', (_name, bytes) => {
    expect(() => decodeCreateAnchor(Uint8Array.from(bytes), MANY)).toThrow(RequestError);
  });

  test('stops at the leaf after the last one allowed, however many follow', () => {
    const empty = Buffer.alloc(20_000_000);
    for (let at = 0; at < empty.byteLength; at += 2) empty[at] = 0x12;
    expect(() => decodeCreateAnchor(empty, 1_000)).toThrow('more than 1000 leaves');
  });

  test('refuses a flood of small fields, each of which would be an object', () => {
    const flood = Buffer.alloc(1_000_000, Buffer.from([0x78, 0x01]));
    expect(() => decodeCreateAnchor(flood, MANY)).toThrow('the fields other than leaves are too long');
  });

  test('a block of leaves is not kept alive by the whole message', () => {
    const bytes = toBinary(
      CreateAnchorRequestSchema,
      create(CreateAnchorRequestSchema, { leaves: [new Uint8Array(32).fill(1)] }),
    );
    expect(decodeCreateAnchor(bytes, MANY).leaves.buffer).not.toBe(bytes.buffer);
  });
});

test('listed indices are those that the generated writer writes', () => {
  const response = {
    anchorId: 'a',
    leafCount: 7,
    record: new Uint8Array([1]),
    logIndex: 5n,
    checkpoint: 'c',
    recordPath: [],
    consistencyPath: [],
    replayed: true,
  };
  fc.assert(
    fc.property(fc.nat({ max: 40_000 }), (count) => {
      const bytes = encodeCreateAnchor({ response, listedLeafCount: count });
      expect(fromBinary(CreateAnchorResponseSchema, bytes)).toEqual(
        create(CreateAnchorResponseSchema, {
          ...response,
          leafIndices: Array.from({ length: count }, (_, index) => index),
        }),
      );
    }),
    { numRuns: 30 },
  );
});
