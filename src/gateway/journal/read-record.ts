import { isUtf8 } from 'node:buffer';
import type { Refusal } from '../outbox.ts';
import { KIND, type Kind } from './frame.ts';
import { type BatchRecord, EVENT_ID_AT, LEAF_AT } from './record-frames.ts';

/** Told of records in the order in which they were written. */
export interface RecordVisitor {
  /** @param leaf and eventId are valid during the call */
  leaf(sequence: number, enqueuedAtMs: number, leaf: Uint8Array, eventId: Uint8Array | undefined): void;
  sealed(batch: BatchRecord): void;
  settled(batch: BatchRecord, checkpoint: string | undefined): void;
  split(requestId: string, parts: readonly BatchRecord[]): void;
  buried(batch: BatchRecord, refusal: Refusal, buriedAtMs: number): void;
  revived(batch: BatchRecord): void;
  checkpoint(checkpoint: string): void;
}

/**
 * Reads one record and tells of it. The twin of {@link RecordFrames}: what is read here is written there with the same bytes.
 *
 * @returns false for a body that no writer makes; then nothing was told
 */
export function readRecord(kind: Kind, body: Buffer, visitor: RecordVisitor): boolean {
  if (kind === KIND.leaf || kind === KIND.leafWithEventId) return readLeaf(kind, body, visitor);
  try {
    const told = read(kind, new BodyReader(body));
    told(visitor);
    return true;
  } catch (error) {
    if (error instanceof MalformedBody) return false;
    throw error;
  }
}

class MalformedBody extends Error {}

function readLeaf(kind: Kind, body: Buffer, visitor: RecordVisitor): boolean {
  const hasEventId = kind === KIND.leafWithEventId;
  if (hasEventId ? body.length < EVENT_ID_AT : body.length !== EVENT_ID_AT) return false;
  visitor.leaf(
    body.readUIntBE(0, 6),
    body.readUIntBE(6, 6),
    body.subarray(LEAF_AT, EVENT_ID_AT),
    hasEventId ? body.subarray(EVENT_ID_AT) : undefined,
  );
  return true;
}

function read(kind: Kind, body: BodyReader): (visitor: RecordVisitor) => void {
  switch (kind) {
    case KIND.sealed: {
      const batch = body.last(body.batch());
      return (visitor) => visitor.sealed(batch);
    }
    case KIND.settled: {
      const batch = body.batch();
      const checkpoint = body.last(body.text());
      return (visitor) => visitor.settled(batch, checkpoint === '' ? undefined : checkpoint);
    }
    case KIND.split: {
      const requestId = body.text();
      const parts = body.last(body.batches());
      return (visitor) => visitor.split(requestId, parts);
    }
    case KIND.buried: {
      const batch = body.batch();
      const buriedAtMs = body.number();
      const refusal = { status: body.text(), reason: body.text(), message: body.last(body.text()) };
      return (visitor) => visitor.buried(batch, refusal, buriedAtMs);
    }
    case KIND.revived: {
      const batch = body.last(body.batch());
      return (visitor) => visitor.revived(batch);
    }
    case KIND.checkpoint: {
      const checkpoint = body.last(body.text());
      return (visitor) => visitor.checkpoint(checkpoint);
    }
    default:
      throw new MalformedBody();
  }
}

class BodyReader {
  readonly #body: Buffer;
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  batch(): BatchRecord {
    const requestId = this.text();
    const etcdRevision = this.#take(8).readBigInt64BE();
    const runs: number[] = [];
    let end = 0;
    for (let left = this.#count(); left > 0; left--) {
      const first = end + this.#signed();
      const count = this.number();
      end = first + count;
      if (first < 0 || count === 0 || !Number.isSafeInteger(end)) throw new MalformedBody();
      runs.push(first, count);
    }
    return { requestId, etcdRevision, runs };
  }

  batches(): BatchRecord[] {
    return Array.from({ length: this.#count() }, () => this.batch());
  }

  text(): string {
    const bytes = this.#take(this.number());
    if (!isUtf8(bytes)) throw new MalformedBody();
    return bytes.toString();
  }

  number(): number {
    let value = 0;
    for (let unit = 1; ; unit *= 0x80) {
      const byte = this.#take(1)[0] ?? 0;
      value += (byte & 0x7f) * unit;
      if (!Number.isSafeInteger(value)) throw new MalformedBody();
      if (byte === 0 && unit > 1) throw new MalformedBody();
      if (byte < 0x80) return value;
    }
  }

  /** @throws where something follows */
  last<T>(value: T): T {
    if (this.#at !== this.#body.length) throw new MalformedBody();
    return value;
  }

  /** Of things that have at least a byte each, so that nobody is asked to make room for more than there is. */
  #count(): number {
    const count = this.number();
    if (count > this.#body.length) throw new MalformedBody();
    return count;
  }

  #signed(): number {
    const sign = this.number();
    const value = this.number();
    if (sign > 1 || (sign === 1 && value === 0)) throw new MalformedBody();
    return sign === 0 ? value : -value;
  }

  #take(bytes: number): Buffer {
    if (bytes > this.#body.length - this.#at) throw new MalformedBody();
    this.#at += bytes;
    return this.#body.subarray(this.#at - bytes, this.#at);
  }
}
