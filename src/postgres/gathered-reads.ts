import { StorageError } from '../notary/storage.ts';

/** More than this go in several statements, so that one answer stays small. */
const MAX_KEYS = 64;

interface Asked<Key, Value> {
  readonly key: Key;
  readonly resolve: (value: Value) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Reads that are asked for in the same turn of the event loop go to the database as one statement: a round trip costs both
 * sides more than a row. Each is still read after it was asked for.
 */
export class GatheredReads<Key, Value> {
  readonly #read: (keys: readonly Key[]) => Promise<readonly Value[]>;
  #asked: Asked<Key, Value>[] = [];

  /** @param read answers one value for each key, in their order; where it rejects several, each is read alone */
  constructor(read: (keys: readonly Key[]) => Promise<readonly Value[]>) {
    this.#read = read;
  }

  get(key: Key): Promise<Value> {
    return new Promise((resolve, reject) => {
      if (this.#asked.length === 0) setImmediate(() => this.#send());
      this.#asked.push({ key, resolve, reject });
    });
  }

  #send(): void {
    const asked = this.#asked;
    this.#asked = [];
    for (let from = 0; from < asked.length; from += MAX_KEYS) {
      void this.#answer(asked.slice(from, from + MAX_KEYS));
    }
  }

  async #answer(asked: readonly Asked<Key, Value>[]): Promise<void> {
    try {
      const values = await this.#read(asked.map(({ key }) => key));
      for (const [i, { resolve }] of asked.entries()) resolve(values[i] as Value);
    } catch (error) {
      // One row that cannot be read is of no concern to those who asked for others. Where the database is away, they all are.
      if (asked.length > 1 && !isUnavailable(error)) for (const one of asked) void this.#answer([one]);
      else for (const { reject } of asked) reject(error);
    }
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'UNAVAILABLE';
}
