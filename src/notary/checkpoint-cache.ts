import { assembleCheckpoint, formatCheckpointText } from '../note/index.ts';
import type { LogKeys } from './log-keys.ts';
import type { Head } from './storage.ts';

const MAX_CHECKPOINTS = 64;

/** Signed checkpoints of one log by size: Ed25519 is deterministic, so that one signature serves everybody who asks. */
export class CheckpointCache {
  readonly #origin: string;
  readonly #keys: LogKeys;
  readonly #checkpoints = new Map<number, Promise<string>>();

  constructor(origin: string, keys: LogKeys) {
    this.#origin = origin;
    this.#keys = keys;
  }

  /** @param head committed, durable, and recomputed from its records (invariant 3) */
  sign({ size, root }: Pick<Head, 'size' | 'root'>): Promise<string> {
    const known = this.#checkpoints.get(size);
    if (known !== undefined) return known;
    const text = formatCheckpointText({ origin: this.#origin, size, root });
    const signed = this.#keys.sign(text).then((lines) => assembleCheckpoint(text, lines));
    this.#checkpoints.set(size, signed);
    signed.catch(() => this.#checkpoints.delete(size));
    const [oldest] = this.#checkpoints.keys();
    if (this.#checkpoints.size > MAX_CHECKPOINTS && oldest !== undefined) this.#checkpoints.delete(oldest);
    return signed;
  }

  clear(): void {
    this.#checkpoints.clear();
  }
}
