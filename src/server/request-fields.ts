/** The named checks of request fields, each once. What passes here is trusted inside. */
import type { Timestamp } from '@bufbuild/protobuf/wkt';
import type { FieldViolation } from '../notary/error.ts';
import { NotaryError } from '../notary/error.ts';
import { quote, RequestError } from './error.ts';

export const MAX_CHECKPOINT_BYTES = 4096;

const MAX_KEPT = 8;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** 0001-01-01 and 9999-12-31 (google/protobuf/timestamp.proto). */
const MIN_SECONDS = -62_135_596_800n;
const MAX_SECONDS = 253_402_300_799n;

/** 8-4-4-4-12 hexadecimal digits of any case and version. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/**
 * Collects what is wrong with a request, so that a caller hears of all of it at once. The checks answer something of the
 * right type even for what is wrong; `done` throws before anybody uses it.
 */
export class RequestFields {
  readonly #violations: FieldViolation[] = [];
  #count = 0;

  violate(field: string, description: string): void {
    this.#count += 1;
    if (this.#violations.length < MAX_KEPT) this.#violations.push({ field, description });
  }

  /** More of them than were named one by one. */
  violateUnnamed(count: number): void {
    this.#count += count;
  }

  /** A UUID, lower-cased. */
  uuid(field: string, value: string): string {
    if (!isUuid(value)) {
      this.violate(field, value === '' ? 'missing, expected a UUID' : `${quote(value)} is not a UUID`);
    }
    return value.toLowerCase();
  }

  optionalUuid(field: string, value: string): string | undefined {
    return value === '' ? undefined : this.uuid(field, value);
  }

  /** UTF-8 of at most so many bytes, without NUL, which Postgres cannot store. */
  text(field: string, value: string, maxBytes: number): string {
    if (value.includes('\0')) this.violate(field, 'it contains a NUL character');
    // A character takes at most three bytes for each UTF-16 unit.
    if (value.length * 3 > maxBytes) {
      const byteLength = Buffer.byteLength(value);
      if (byteLength > maxBytes) this.violate(field, `${byteLength} bytes, at most ${maxBytes}`);
    }
    return value;
  }

  notNegative(field: string, value: bigint): bigint {
    if (value < 0n) this.violate(field, `${value} is negative`);
    return value;
  }

  /** A size of a log. One that no number can hold is past the end of every log. */
  treeSize(field: string, value: bigint): number {
    this.notNegative(field, value);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw new NotaryError(
        'TREE_SIZE_OUT_OF_RANGE',
        `${field} is ${value}, which is past the end of the log`,
      );
    }
    return Number(value);
  }

  /** AIP-158: 0 is the default, more than the maximum is the maximum. */
  pageSize(value: number, standard: number, max: number): number {
    if (value < 0) this.violate('page_size', `${value} is negative`);
    return value === 0 ? standard : Math.min(value, max);
  }

  /** The first whole millisecond at or after a time: created_at has milliseconds. */
  optionalTimeMs(field: string, time: Timestamp | undefined): number | undefined {
    if (time === undefined) return undefined;
    const inRange = time.seconds >= MIN_SECONDS && time.seconds <= MAX_SECONDS;
    if (!inRange || time.nanos < 0 || time.nanos > 999_999_999) {
      this.violate(field, 'not a time from the year 1 to 9999');
      return undefined;
    }
    return Number(time.seconds) * 1000 + Math.ceil(time.nanos / 1_000_000);
  }

  /** Throws what was collected. @throws {RequestError} INVALID_ARGUMENT */
  done(): void {
    const [first] = this.#violations;
    if (first === undefined) return;
    const more = this.#count > 1 ? ` (and ${this.#count - 1} more)` : '';
    throw new RequestError('INVALID_ARGUMENT', `${first.field}: ${first.description}${more}`, {
      violations: this.#violations,
    });
  }
}
