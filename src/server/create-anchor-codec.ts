/**
 * CreateAnchor on the wire, read and written by hand where it matters.
 *
 * The generated reader makes one object for each leaf: a message of 40 MiB would become a million of them, or twenty
 * million if the leaves are empty. Here leaves go straight into one block of memory, and only what is left of the message,
 * which is small, is read the generated way.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import type { CreateAnchorRequest, CreateAnchorResponse } from '#gen/quartermaster/v1/notary_pb.js';
import { CreateAnchorRequestSchema, CreateAnchorResponseSchema } from '#gen/quartermaster/v1/notary_pb.js';
import { decoder } from '../rpc/service-definition.ts';
import { RequestError } from './error.ts';

export const LEAF_BYTES = 32;

/** A leaf that is not 32 bytes long. */
export interface Misfit {
  readonly index: number;
  readonly byteLength: number;
}

/** A CreateAnchorRequest with its leaves apart. */
export interface ReceivedBatch {
  /** Both leaf fields of it are empty. */
  readonly fields: CreateAnchorRequest;
  /** How many `leaves` there were. */
  readonly leafCount: number;
  /** The `leaves` of 32 bytes, one after the other. */
  readonly leaves: Uint8Array;
  /** The first few that had another length, and how many there were in all. */
  readonly misfits: readonly Misfit[];
  readonly misfitCount: number;
  /** `packed_leaves`. */
  readonly packedLeaves: Uint8Array;
}

const LEAVES_TAG = (2 << 3) | 2;
const PACKED_LEAVES_TAG = (6 << 3) | 2;
/** etcd_revision; every other field is text or bytes. */
const VARINT_FIELD = 3;
const LAST_FIELD = 6;
/** All other fields together: two UUIDs, a number and a checkpoint of 4 KiB, or a longer one that is refused by name. */
const MAX_OTHER_FIELDS_BYTES = 64 * 1024;
const MAX_MISFITS = 8;
const NOTHING = new Uint8Array(0);

const decodeFields = decoder(CreateAnchorRequestSchema);

/**
 * Reads a CreateAnchorRequest. Equal to the generated reader in what it accepts, but for groups (a wire format of old that
 * no field here ever had), tags and lengths above 32 bits, more than 64 KiB of fields other than leaves, and known fields in
 * another wire type than their own: the generated reader takes them for their own, whatever bytes follow.
 *
 * @throws {RequestError} TOO_MANY_LEAVES, MALFORMED_MESSAGE; or the generated reader's error
 */
export function decodeCreateAnchor(bytes: Uint8Array, maxLeafCount: number): ReceivedBatch {
  const cursor = new Cursor(bytes);
  const misfits: Misfit[] = [];
  const others: Uint8Array[] = [];
  let leaves: Buffer | undefined;
  let leafCount = 0;
  let misfitCount = 0;
  let packedLeaves: Uint8Array = NOTHING;
  let otherBytes = 0;
  while (cursor.position < bytes.byteLength) {
    const start = cursor.position;
    const tag = cursor.varint();
    if (tag === LEAVES_TAG) {
      const byteLength = cursor.varint();
      const from = cursor.skip(byteLength);
      if (leafCount >= maxLeafCount) throw tooManyLeaves(maxLeafCount);
      if (byteLength === LEAF_BYTES) {
        // Room for all leaves that can still follow: no growing.
        leaves ??= Buffer.allocUnsafe(LEAF_BYTES + bytes.byteLength - cursor.position);
        leaves.set(bytes.subarray(from, from + LEAF_BYTES), (leafCount - misfitCount) * LEAF_BYTES);
      } else {
        if (misfitCount < MAX_MISFITS) misfits.push({ index: leafCount, byteLength });
        misfitCount += 1;
      }
      leafCount += 1;
    } else if (tag === PACKED_LEAVES_TAG) {
      const byteLength = cursor.varint();
      const from = cursor.skip(byteLength);
      packedLeaves = bytes.subarray(from, from + byteLength);
    } else {
      checkWireType(tag);
      cursor.skipField(tag & 7);
      otherBytes += cursor.position - start;
      if (otherBytes > MAX_OTHER_FIELDS_BYTES) throw malformed('the fields other than leaves are too long');
      others.push(bytes.subarray(start, cursor.position));
    }
  }
  return {
    fields: decodeFields(others.length === 1 && others[0] !== undefined ? others[0] : Buffer.concat(others)),
    leafCount,
    leaves: leaves?.subarray(0, (leafCount - misfitCount) * LEAF_BYTES) ?? NOTHING,
    misfits,
    misfitCount,
    packedLeaves,
  };
}

/** @throws {RequestError} MALFORMED_MESSAGE for a field of ours that is encoded as none of ours is */
function checkWireType(tag: number): void {
  const field = tag >>> 3;
  if (field > LAST_FIELD) return;
  const wireType = field === VARINT_FIELD ? 0 : 2;
  if ((tag & 7) !== wireType) throw malformed(`field ${field} has wire type ${tag & 7}`);
}

export function tooManyLeaves(maxLeafCount: number): RequestError {
  return new RequestError(
    'TOO_MANY_LEAVES',
    `more than ${maxLeafCount} leaves, the most that one call may have: split the batch`,
  );
}

function malformed(what: string): RequestError {
  return new RequestError('MALFORMED_MESSAGE', `the request message cannot be decoded: ${what}`);
}

/** A position in a message (https://protobuf.dev/programming-guides/encoding). Never past the end. */
class Cursor {
  readonly #bytes: Uint8Array;
  position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Tags and lengths: 32 bits are enough. */
  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#bytes[this.position];
      if (byte === undefined) break;
      this.position += 1;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80 && value <= 0xffff_ffff) return value;
    }
    throw malformed('a tag or a length is truncated or too long');
  }

  /** Answers where the skipped bytes begin. */
  skip(byteLength: number): number {
    const from = this.position;
    if (byteLength > this.#bytes.byteLength - from) throw malformed('a field is truncated');
    this.position += byteLength;
    return from;
  }

  skipField(wireType: number): void {
    switch (wireType) {
      case 0:
        this.#skipVarint();
        return;
      case 1:
        this.skip(8);
        return;
      case 2:
        this.skip(this.varint());
        return;
      case 5:
        this.skip(4);
        return;
      default:
        throw malformed(`wire type ${wireType}`);
    }
  }

  #skipVarint(): void {
    for (let length = 1; length <= 10; length += 1) {
      const byte = this.#bytes[this.position];
      if (byte === undefined) break;
      this.position += 1;
      if (byte < 0x80) return;
    }
    throw malformed('a number is truncated or too long');
  }
}

/** The answer, and how many leaf_indices it lists: 0, 1, 2, ... */
export interface AnchorReply {
  readonly response: Omit<CreateAnchorResponse, '$typeName' | '$unknown' | 'leafIndices'>;
  readonly listedLeafCount: number;
}

const LEAF_INDICES_TAG = (3 << 3) | 2;

/**
 * Writes a CreateAnchorResponse. The list of indices of a smaller batch is the beginning of that of a larger one, so that
 * one encoded list serves all; it is appended, since fields may come in any order.
 */
export function encodeCreateAnchor(reply: AnchorReply): Buffer {
  const response = toBinary(CreateAnchorResponseSchema, create(CreateAnchorResponseSchema, reply.response));
  const count = reply.listedLeafCount;
  if (count === 0) return Buffer.from(response.buffer, response.byteOffset, response.byteLength);
  const indices = encodedIndices(count);
  return Buffer.concat([response, Buffer.from([LEAF_INDICES_TAG, ...varintOf(indices.byteLength)]), indices]);
}

let encoded: Buffer = Buffer.alloc(0);
let encodedCount = 0;

/** The varints of 0 to count - 1, up to 3 MiB of them kept for the next call. */
function encodedIndices(count: number): Uint8Array {
  if (count > encodedCount) {
    encodedCount = Math.max(count, Math.min(2 * encodedCount, 1_048_576), 1_024);
    const bytes = Buffer.allocUnsafe(encodedLengthOf(encodedCount));
    let position = 0;
    for (let index = 0; index < encodedCount; index += 1) {
      let rest = index;
      for (; rest > 0x7f; rest >>>= 7) bytes[position++] = (rest & 0x7f) | 0x80;
      bytes[position++] = rest;
    }
    encoded = bytes;
  }
  return encoded.subarray(0, encodedLengthOf(count));
}

/** One byte for each index, one more from 2^7 on, from 2^14, ... */
function encodedLengthOf(count: number): number {
  let length = count;
  for (let from = 2 ** 7; from < count; from *= 2 ** 7) length += count - from;
  return length;
}

function varintOf(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}
