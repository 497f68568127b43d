import { ANCHOR_RECORD_TYPE, type AnchorRecord, takeAnchorRecord } from './anchor-record.ts';
import { type JsonValue, parseCanonicalObject, takeField } from './canonical-json.ts';
import { badField } from './error.ts';
import { SUCCESSION_RECORD_TYPE, type SuccessionRecord, takeSuccessionRecord } from './succession-record.ts';

/** What a later version may have added; kept, under the signed root, and without meaning here. */
export interface UnknownFields {
  readonly unknownFields: ReadonlyMap<string, JsonValue>;
}

export type ParsedRecord =
  | ({ readonly kind: 'anchor' } & AnchorRecord & UnknownFields)
  | ({ readonly kind: 'succession' } & SuccessionRecord & UnknownFields)
  /** an entry without leaves */
  | ({ readonly kind: 'unknown'; readonly type: string } & UnknownFields);

/**
 * Reads a log entry. The bytes are hostile until their path to a signed root is checked: they are bounded, parsed, written
 * again and compared, and every known field is held to its one spelling.
 *
 * @throws {RecordError} TOO_LARGE, NOT_UTF8, NOT_JSON, NOT_AN_OBJECT, NOT_CANONICAL, BAD_FIELD
 */
export function parseRecord(bytes: Uint8Array): ParsedRecord {
  const fields = parseCanonicalObject(bytes);
  const type = takeField(fields, 'type');
  if (typeof type !== 'string') throw badField('type', 'a string');
  switch (type) {
    case ANCHOR_RECORD_TYPE:
      return { kind: 'anchor', ...takeAnchorRecord(fields), unknownFields: fields };
    case SUCCESSION_RECORD_TYPE:
      return { kind: 'succession', ...takeSuccessionRecord(fields), unknownFields: fields };
    default:
      return { kind: 'unknown', type, unknownFields: fields };
  }
}
