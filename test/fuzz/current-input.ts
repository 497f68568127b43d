import { showInput } from './corpus.ts';
import type { Input } from './target.ts';

const SHOWN_BYTES = 256 * 1024;

/** Which input is being fed in, in memory that two threads share: what is left to read when one of them hangs. */
export class CurrentInput {
  readonly shared: SharedArrayBuffer;
  readonly #numbers: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(shared = new SharedArrayBuffer(12 + SHOWN_BYTES)) {
    this.shared = shared;
    this.#numbers = new Int32Array(shared, 0, 3);
    this.#bytes = new Uint8Array(shared, 12);
  }

  set(input: Input): void {
    const isText = typeof input === 'string';
    const bytes = isText
      ? Buffer.from(input.slice(0, SHOWN_BYTES / 2), 'utf16le')
      : input.subarray(0, SHOWN_BYTES);
    this.#bytes.set(bytes);
    this.#numbers[1] = bytes.length;
    this.#numbers[2] = isText ? 1 : 0;
    Atomics.add(this.#numbers, 0, 1);
  }

  get count(): number {
    return Atomics.load(this.#numbers, 0);
  }

  get shown(): string {
    const bytes = Buffer.from(this.#bytes.slice(0, this.#numbers[1]));
    return showInput(this.#numbers[2] === 1 ? bytes.toString('utf16le') : bytes);
  }
}
