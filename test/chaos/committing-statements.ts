import { APPEND } from '../../src/postgres/append.ts';

/** Enough of a message to tell by which statement it is: the names come first. */
const PREFIX_BYTES = 64;
const [QUERY, PARSE, BIND, SYNC] = [...'QPBS'].map((letter) => letter.charCodeAt(0));

/**
 * Follows what a client sends (PostgreSQL documentation, "Message Formats") and tells where a statement that commits begins
 * and ends: the append, which is a transaction of its own outside of one, and COMMIT.
 */
export class CommittingStatements {
  /** Type byte and length, then the beginning of the body; a startup message has no type. */
  #head = Buffer.alloc(0);
  #bodyLeft = 0;
  #isStarted = false;
  #isInside = false;

  /** @returns what the bytes did: begin such a statement, end it, both, or neither */
  feed(chunk: Buffer): { readonly begins: boolean; readonly ends: boolean } {
    let begins = false;
    let ends = false;
    for (let at = 0; at < chunk.length; ) {
      if (this.#bodyLeft === 0) this.#head = Buffer.alloc(0);
      const headerLength = this.#isStarted ? 5 : 4;
      if (this.#head.length < headerLength) {
        const taken = chunk.subarray(at, at + headerLength - this.#head.length);
        this.#head = Buffer.concat([this.#head, taken]);
        at += taken.length;
        if (this.#head.length < headerLength) {
          this.#bodyLeft = -1; // more of the header is to come
          continue;
        }
        this.#bodyLeft = this.#head.readUInt32BE(headerLength - 4) - 4;
      }
      const taken = chunk.subarray(at, at + this.#bodyLeft);
      at += taken.length;
      this.#bodyLeft -= taken.length;
      const room = headerLength + PREFIX_BYTES - this.#head.length;
      if (room > 0) this.#head = Buffer.concat([this.#head, taken.subarray(0, room)]);
      if (this.#isStarted && !this.#isInside && isCommitting(this.#head)) {
        this.#isInside = true;
        begins = true;
      }
      if (this.#bodyLeft > 0) continue;
      const type = this.#head[0];
      if (this.#isStarted && this.#isInside && (type === SYNC || type === QUERY)) {
        this.#isInside = false;
        ends = true;
      }
      this.#isStarted = true;
    }
    return { begins, ends };
  }
}

function isCommitting(head: Buffer): boolean {
  const body = head.toString('latin1', 5);
  switch (head[0]) {
    case QUERY:
      return body.startsWith('COMMIT');
    case PARSE:
      return body.startsWith(`${APPEND.name}\0`);
    case BIND:
      return body.startsWith(`\0${APPEND.name}\0`);
    default:
      return false;
  }
}
