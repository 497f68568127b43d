// The entries of a cluster log, as canonical JSON (RFC 8785). Pure: runs in browsers.

export { ANCHOR_RECORD_TYPE, type AnchorRecord, formatAnchorRecord } from './anchor-record.ts';
export { type JsonValue, MAX_RECORD_BYTES } from './canonical-json.ts';
export { RecordError, type RecordErrorCode } from './error.ts';
export { MAX_LEAF_COUNT, MAX_SUBMITTER_BYTES } from './field.ts';
export { type ParsedRecord, parseRecord, type UnknownFields } from './parse.ts';
export {
  formatSuccessionRecord,
  MAX_REASON_BYTES,
  SUCCESSION_RECORD_TYPE,
  type SuccessionRecord,
} from './succession-record.ts';
export { MAX_NESTING, writeCanonical } from './write-canonical.ts';
