import { GatewayError } from './error.ts';
import type { Outbox } from './outbox.ts';

type Append = Outbox['append'];

/** Runs something once, after a while. @returns how to call it off */
type Later = (run: () => void) => () => void;

interface Waiting {
  readonly leaf: Uint8Array;
  readonly eventId: string | undefined;
  readonly resolve: (sequence: number) => void;
  readonly reject: (error: unknown) => void;
}

/** What becomes of leaves while the outbox is full: refused at once, or held until there is room, in their order. */
export class Room {
  readonly #append: Append;
  readonly #blocks: boolean;
  readonly #later: Later;
  readonly #waiting: Waiting[] = [];
  #cancelLook: (() => void) | undefined;
  #isAdmitting = false;
  #isClosed = false;

  /** @param later when to look whether there is room, while somebody waits and nobody says so */
  constructor(append: Append, blocks: boolean, later: Later) {
    this.#append = append;
    this.#blocks = blocks;
    this.#later = later;
  }

  /** Callers that wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws {GatewayError} OUTBOX_FULL, OUTBOX_FAILED, CLOSED */
  append(leaf: Uint8Array, eventId: string | undefined): number | Promise<number> {
    if (!this.#blocks) return this.#append(leaf, eventId);
    // Who comes later does not get in before those who wait.
    return this.#waiting.length > 0 ? this.#wait(leaf, eventId) : this.#appendOrWait(leaf, eventId);
  }

  /** Something left the outbox. */
  freed(): void {
    if (this.#waiting.length > 0 && !this.#isAdmitting) void this.#admit();
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelLook?.();
    for (const { reject } of this.#waiting.splice(0))
      reject(new GatewayError('CLOSED', 'this gateway is closed'));
  }

  async #appendOrWait(leaf: Uint8Array, eventId: string | undefined): Promise<number> {
    try {
      return await this.#append(leaf, eventId);
    } catch (error) {
      if (!isFull(error)) throw error;
      return this.#wait(leaf, eventId);
    }
  }

  #wait(leaf: Uint8Array, eventId: string | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      // The caller may use its bytes again before there is room.
      this.#waiting.push({ leaf: new Uint8Array(leaf), eventId, resolve, reject });
      if (this.#isClosed) this.close();
      else this.#lookLater();
    });
  }

  /** Another gateway makes room in a shared outbox and tells nobody here; files shrink some time after their leaves are gone. */
  #lookLater(): void {
    this.#cancelLook ??= this.#later(() => {
      this.#cancelLook = undefined;
      if (this.#waiting.length === 0) return;
      this.freed();
      this.#lookLater();
    });
  }

  async #admit(): Promise<void> {
    this.#isAdmitting = true;
    try {
      for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
        const { leaf, eventId, resolve, reject } = next;
        try {
          resolve(await this.#append(leaf, eventId));
        } catch (error) {
          if (isFull(error)) return;
          reject(error);
        }
        this.#waiting.shift();
      }
    } finally {
      this.#isAdmitting = false;
    }
  }
}

function isFull(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'OUTBOX_FULL';
}
