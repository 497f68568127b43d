// Every gateway is a witness: the newest checkpoint of each log that it has verified, and that all of them tell one history.

import { fastHasher } from '../merkle/fast.ts';
import { type VerifiedCheckpoint, verifyCheckpointConsistency } from '../verify/index.ts';

/** Fetches the path that is said to lead from the older to the newer of two checkpoints of one log. */
export type FetchPath = (
  older: VerifiedCheckpoint,
  newer: VerifiedCheckpoint,
) => Promise<readonly Uint8Array[]>;

/** The newest verified checkpoint of each log. They only ever grow. */
export class WitnessedLogs {
  readonly #newest = new Map<string, VerifiedCheckpoint>();
  #current: string | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /** The newest checkpoint of the log that anchors are appended to now. */
  get current(): VerifiedCheckpoint | undefined {
    return this.#current === undefined ? undefined : this.#newest.get(this.#current);
  }

  newestOf(origin: string): VerifiedCheckpoint | undefined {
    return this.#newest.get(origin);
  }

  /** Where new anchors go, for example since a successor took over. */
  goOnUnder(origin: string): void {
    this.#current = origin;
  }

  /** Takes a checkpoint as it is, where nothing is known of its log. */
  begin(checkpoint: VerifiedCheckpoint): void {
    if (!this.#newest.has(checkpoint.origin)) this.#newest.set(checkpoint.origin, checkpoint);
  }

  /**
   * Adds a verified checkpoint, once it is shown to be of the history that is known. Calls that were in flight together come
   * back with checkpoints that are each proven against an older one only: without this a log that forks in between would show
   * one branch to each of them.
   *
   * @param provenAgainst the checkpoint that it is shown to extend already
   * @returns the newest one of its log, after that
   * @throws {VerificationError} CONSISTENCY_PATH; and what `fetchPath` throws
   */
  join(
    checkpoint: VerifiedCheckpoint,
    provenAgainst: VerifiedCheckpoint | undefined,
    fetchPath: FetchPath,
  ): Promise<VerifiedCheckpoint> {
    // One after the other: what is compared with must not change meanwhile.
    const joined = this.#turn.then(() => this.#join(checkpoint, provenAgainst, fetchPath));
    this.#turn = joined.catch(() => {});
    return joined;
  }

  async #join(
    checkpoint: VerifiedCheckpoint,
    provenAgainst: VerifiedCheckpoint | undefined,
    fetchPath: FetchPath,
  ): Promise<VerifiedCheckpoint> {
    const newest = this.#newest.get(checkpoint.origin);
    if (newest !== undefined && newest !== provenAgainst && newest !== checkpoint) {
      const [older, newer] = checkpoint.size < newest.size ? [checkpoint, newest] : [newest, checkpoint];
      const needsPath = older.size > 0 && older.size < newer.size;
      const path = needsPath ? await fetchPath(older, newer) : [];
      verifyCheckpointConsistency(older, newer, path, { hasher: fastHasher });
    }
    const last = newest === undefined || checkpoint.size > newest.size ? checkpoint : newest;
    this.#newest.set(checkpoint.origin, last);
    return last;
  }
}
