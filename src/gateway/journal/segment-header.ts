// The first bytes of a segment, twice, so that no single damage makes all its frames unreadable.

import { crc32 } from 'node:zlib';

const MAGIC = Buffer.from('QMJOURNAL\n');
const VERSION = 1;

const VERSION_AT = 10;
const CLUSTER_AT = 12;
const NUMBER_AT = 28;
const PREVIOUS_NUMBER_AT = 34;
const PREVIOUS_BYTES_AT = 40;
const NEXT_SEQUENCE_AT = 46;
const SALT_AT = 52;
const CRC_AT = 56;
const COPY_BYTES = 60;

export const SEGMENT_HEADER_BYTES = 2 * COPY_BYTES;

export interface SegmentHeader {
  /** UUID in lower case */
  readonly clusterId: string;
  /** from 1; later segments are higher */
  readonly number: number;
  /** the segment before, 0 for none; one with a number in between was given up before anything in it counted */
  readonly previousNumber: number;
  /** how much of it counts: what stands behind was never promised */
  readonly previousBytes: number;
  /** no leaf of an earlier segment has this sequence, or a higher one */
  readonly nextSequence: number;
  /** random */
  readonly salt: number;
}

export function formatSegmentHeader(header: SegmentHeader): Buffer {
  const copy = Buffer.alloc(COPY_BYTES);
  MAGIC.copy(copy);
  copy.writeUInt16BE(VERSION, VERSION_AT);
  copy.write(header.clusterId.replaceAll('-', ''), CLUSTER_AT, 'hex');
  copy.writeUIntBE(header.number, NUMBER_AT, 6);
  copy.writeUIntBE(header.previousNumber, PREVIOUS_NUMBER_AT, 6);
  copy.writeUIntBE(header.previousBytes, PREVIOUS_BYTES_AT, 6);
  copy.writeUIntBE(header.nextSequence, NEXT_SEQUENCE_AT, 6);
  copy.writeUInt32BE(header.salt, SALT_AT);
  copy.writeUInt32BE(crc32(copy.subarray(0, CRC_AT)), CRC_AT);
  return Buffer.concat([copy, copy]);
}

/** @returns `later-version` for a sound header that this code does not know; undefined where neither copy is sound */
export function parseSegmentHeader(bytes: Buffer): SegmentHeader | 'later-version' | undefined {
  return (
    parseCopy(bytes.subarray(0, COPY_BYTES)) ?? parseCopy(bytes.subarray(COPY_BYTES, SEGMENT_HEADER_BYTES))
  );
}

function parseCopy(copy: Buffer): SegmentHeader | 'later-version' | undefined {
  if (copy.length < COPY_BYTES || !copy.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (crc32(copy.subarray(0, CRC_AT)) !== copy.readUInt32BE(CRC_AT)) return undefined;
  if (copy.readUInt16BE(VERSION_AT) !== VERSION) return 'later-version';
  return {
    clusterId: copy
      .toString('hex', CLUSTER_AT, NUMBER_AT)
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'),
    number: copy.readUIntBE(NUMBER_AT, 6),
    previousNumber: copy.readUIntBE(PREVIOUS_NUMBER_AT, 6),
    previousBytes: copy.readUIntBE(PREVIOUS_BYTES_AT, 6),
    nextSequence: copy.readUIntBE(NEXT_SEQUENCE_AT, 6),
    salt: copy.readUInt32BE(SALT_AT),
  };
}
