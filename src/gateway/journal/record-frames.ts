import { GatewayError } from '../error.ts';
import type { Refusal } from '../outbox.ts';
import { beginFrame, FRAME_HEADER_BYTES, KIND, type Kind, MAX_BODY_BYTES } from './frame.ts';
import type { Runs } from './runs.ts';

/** What the journal says of a batch: its leaves have records of their own. */
export interface BatchRecord {
  readonly requestId: string;
  readonly etcdRevision: bigint;
  readonly runs: Runs;
}

export const LEAF_BYTES = 32;
/** sequence and time */
export const LEAF_AT = 12;
export const EVENT_ID_AT = LEAF_AT + LEAF_BYTES;
/** without its event id */
export const LEAF_FRAME_BYTES = FRAME_HEADER_BYTES + EVENT_ID_AT;
const FIRST_SIZE = 4096;

/** Records, one after the other as frames, in one buffer that grows. The twin of `read-record.ts`. */
export class RecordFrames {
  #bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_SIZE);
  #length = 0;
  #frameAt = 0;

  get bytes(): Buffer {
    return this.#bytes;
  }

  get length(): number {
    return this.#length;
  }

  cutTo(length: number): void {
    this.#length = length;
  }

  leaf(sequence: number, enqueuedAtMs: number, leaf: Uint8Array, eventId: Uint8Array | undefined): void {
    this.#room(LEAF_FRAME_BYTES + (eventId?.length ?? 0));
    this.#begin();
    this.#bytes.writeUIntBE(sequence, this.#length, 6);
    this.#bytes.writeUIntBE(enqueuedAtMs, this.#length + 6, 6);
    this.#bytes.set(leaf, this.#length + LEAF_AT);
    this.#length += EVENT_ID_AT;
    if (eventId !== undefined) {
      this.#bytes.set(eventId, this.#length);
      this.#length += eventId.length;
    }
    this.#end(eventId === undefined ? KIND.leaf : KIND.leafWithEventId);
  }

  sealed(batch: BatchRecord): void {
    this.#begin();
    this.#batch(batch);
    this.#end(KIND.sealed);
  }

  /** The members are named again, so that the settlement is not lost with a damaged record of the sealing. */
  settled(batch: BatchRecord, checkpoint: string | undefined): void {
    this.#begin();
    this.#batch(batch);
    this.#text(checkpoint ?? '');
    this.#end(KIND.settled);
  }

  split(requestId: string, parts: readonly BatchRecord[]): void {
    this.#begin();
    this.#text(requestId);
    this.#number(parts.length);
    for (const part of parts) this.#batch(part);
    this.#end(KIND.split);
  }

  buried(batch: BatchRecord, refusal: Refusal, buriedAtMs: number): void {
    this.#begin();
    this.#batch(batch);
    this.#number(buriedAtMs);
    this.#text(refusal.status);
    this.#text(refusal.reason);
    this.#text(refusal.message);
    this.#end(KIND.buried);
  }

  revived(batch: BatchRecord): void {
    this.#begin();
    this.#batch(batch);
    this.#end(KIND.revived);
  }

  checkpoint(checkpoint: string): void {
    this.#begin();
    this.#text(checkpoint);
    this.#end(KIND.checkpoint);
  }

  #begin(): void {
    this.#frameAt = this.#length;
    this.#room(FRAME_HEADER_BYTES);
    this.#length += FRAME_HEADER_BYTES;
  }

  #end(kind: Kind): void {
    const bodyBytes = this.#length - this.#frameAt - FRAME_HEADER_BYTES;
    if (bodyBytes > MAX_BODY_BYTES) {
      throw new GatewayError('OUTBOX_FAILED', `a record of ${bodyBytes} bytes is too long for the journal`);
    }
    beginFrame(this.#bytes, this.#frameAt, kind, bodyBytes);
  }

  #batch({ requestId, etcdRevision, runs }: BatchRecord): void {
    this.#text(requestId);
    this.#room(8);
    this.#length = this.#bytes.writeBigInt64BE(BigInt.asIntN(64, etcdRevision), this.#length);
    this.#number(runs.length / 2);
    // Gaps rather than sequences, which are small.
    let end = 0;
    for (let at = 0; at < runs.length; at += 2) {
      const [first = 0, count = 0] = [runs[at], runs[at + 1]];
      this.#signed(first - end);
      this.#number(count);
      end = first + count;
    }
  }

  #text(text: string): void {
    const bytes = Buffer.byteLength(text);
    this.#number(bytes);
    this.#room(bytes);
    this.#length += this.#bytes.write(text, this.#length);
  }

  #signed(value: number): void {
    this.#number(value < 0 ? 1 : 0);
    this.#number(Math.abs(value));
  }

  /** LEB128, up to 2^53-1. */
  #number(value: number): void {
    this.#room(8);
    let left = value;
    for (; left > 0x7f; left = Math.floor(left / 0x80)) this.#bytes[this.#length++] = (left % 0x80) | 0x80;
    this.#bytes[this.#length++] = left;
  }

  #room(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
