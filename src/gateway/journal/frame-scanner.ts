import { FRAME_HEADER_BYTES, frameBytesIfAny, isSound, type Kind, kindAt } from './frame.ts';

/** Bytes of a segment that are no frames. */
export interface Damage {
  /** position of the first byte in the segment */
  readonly from: number;
  readonly bytes: number;
  /**
   * What it looks like. `torn`: a write that was cut off, the beginning of a frame up to the end of the file, or blocks that
   * were never written. `half-written`: the same, but it could be damage too: some bytes, and zeros up to the end. The rest is
   * `damaged`.
   */
  readonly look: 'torn' | 'half-written' | 'damaged';
}

export interface ScannerVisitor {
  /**
   * A frame whose checks hold.
   *
   * @param body valid during the call
   * @returns whether it makes sense; else it counts as damage
   */
  frame(kind: Kind, body: Buffer, position: number): boolean;
  damage(damage: Damage): void;
}

/**
 * Reads the frames of a segment, in whatever pieces it comes. After damage it goes on with the next sound frame, which it
 * searches byte by byte, since a damaged length says nothing about where that is.
 */
export class FrameScanner {
  readonly #salt: number;
  readonly #visitor: ScannerVisitor;
  #rest: Buffer = Buffer.alloc(0);
  /** of the first byte of `rest` */
  #position: number;
  #damagedFrom: number | undefined;
  #beginsLikeFrame = false;
  #isAllZero = true;
  #endsInZero = false;

  /** @param position of the first byte that will come */
  constructor(salt: number, position: number, visitor: ScannerVisitor) {
    this.#salt = salt;
    this.#position = position;
    this.#visitor = visitor;
  }

  /** @param piece is not kept beyond the next call as long as it holds whole frames only */
  push(piece: Buffer): void {
    this.#scan(this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]), false);
  }

  /** There is no more. */
  end(): void {
    this.#scan(this.#rest, true);
    this.#endDamage(this.#position, true);
  }

  #scan(bytes: Buffer, isEnd: boolean): void {
    const begin = this.#position;
    let at = 0;
    while (at < bytes.length) {
      const left = bytes.length - at;
      if (left < FRAME_HEADER_BYTES) {
        if (!isEnd) break;
        this.#skip(bytes, at++, begin, true);
        continue;
      }
      const frameBytes = frameBytesIfAny(bytes, at, this.#salt, begin + at);
      if (frameBytes !== undefined && frameBytes > left && !isEnd) break;
      if (frameBytes !== undefined && frameBytes <= left && this.#visit(bytes, at, frameBytes, begin + at)) {
        at += frameBytes;
      } else {
        this.#skip(bytes, at++, begin, frameBytes !== undefined && frameBytes > left);
      }
    }
    // A copy: the caller reads the next piece into the same bytes.
    this.#rest = Buffer.from(bytes.subarray(at));
    this.#position = begin + at;
  }

  #visit(bytes: Buffer, at: number, frameBytes: number, position: number): boolean {
    if (!isSound(bytes, at, frameBytes, this.#salt, position)) return false;
    const body = bytes.subarray(at + FRAME_HEADER_BYTES, at + frameBytes);
    const pending = this.#damagedFrom;
    // Told in order: the damage is before the frame.
    if (pending !== undefined) this.#endDamage(position, false);
    if (this.#visitor.frame(kindAt(bytes, at), body, position)) return true;
    return false;
  }

  #skip(bytes: Buffer, at: number, begin: number, looksCut: boolean): void {
    if (this.#damagedFrom === undefined) {
      this.#damagedFrom = begin + at;
      this.#beginsLikeFrame = looksCut;
      this.#isAllZero = true;
    }
    this.#endsInZero = bytes[at] === 0;
    if (!this.#endsInZero) this.#isAllZero = false;
  }

  #endDamage(position: number, isEnd: boolean): void {
    if (this.#damagedFrom === undefined) return;
    const [from, bytes] = [this.#damagedFrom, position - this.#damagedFrom];
    this.#damagedFrom = undefined;
    this.#visitor.damage({ from, bytes, look: isEnd ? this.#lookAtEnd() : 'damaged' });
  }

  #lookAtEnd(): Damage['look'] {
    if (this.#beginsLikeFrame || this.#isAllZero) return 'torn';
    return this.#endsInZero ? 'half-written' : 'damaged';
  }
}
