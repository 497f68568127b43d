import pg from 'pg';
import { StorageError } from '../notary/storage.ts';

const BYTEA = 17;
const INT8 = 20;

/** How column values become JavaScript values: int8 is a number (sizes fit in 53 bits), bytea a plain Uint8Array. */
export const resultTypes: pg.CustomTypesConfig = {
  getTypeParser: (oid, format) => {
    if (format !== 'binary') {
      if (oid === INT8) return parseInt8;
      if (oid === BYTEA) return parseBytea;
    }
    return pg.types.getTypeParser(oid, format);
  },
};

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new StorageError('CORRUPT', `${text} in the database is beyond the sizes that a log can have`);
  }
  return value;
}

/** Postgres' hex format. The bytes may be part of a larger buffer. */
function parseBytea(text: string): Uint8Array {
  const buffer = Buffer.from(text.slice(2), 'hex');
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
