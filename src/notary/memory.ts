import { EMPTY_ROOT, equalHashes } from '../merkle/index.ts';
import { NotaryError } from './error.ts';
import type { Cluster, Head } from './storage.ts';

type SizeAndRoot = Pick<Head, 'size' | 'root'>;

/**
 * What this process knows of one log from elsewhere than the database's rows of this moment (invariant 5): it tells a rollback
 * from a race, and a loss that an operator confirmed from one that nobody has seen yet.
 */
export class Memory {
  #acknowledged: SizeAndRoot = { size: 0, root: EMPTY_ROOT };
  #signed: SizeAndRoot | undefined;
  /** Of the cluster when `acknowledged` was last found in the database. */
  #stateVersion: number;
  #confirmedSize: number | undefined;
  /** `stateVersion` at which the cluster was `recovering` because of what this memory holds. */
  #declaredAt: number | undefined;

  constructor({ stateVersion, confirmedSize }: Cluster) {
    this.#stateVersion = stateVersion;
    this.#confirmedSize = confirmedSize;
  }

  /** The newest head whose commit was acknowledged to this process. */
  get acknowledged(): SizeAndRoot {
    return this.#acknowledged;
  }

  /** The newest head that this process signed. */
  get signed(): SizeAndRoot | undefined {
    return this.#signed;
  }

  acknowledge(head: SizeAndRoot): void {
    if (this.#acknowledged.size < head.size) this.#acknowledged = head;
  }

  /** @throws NotaryError LOG_FORKED rather than let a second root be signed for the newest size */
  sign(head: SizeAndRoot): void {
    if (this.#signed?.size === head.size && !equalHashes(this.#signed.root, head.root)) {
      throw new NotaryError('LOG_FORKED', `this server has signed another root at size ${head.size}`);
    }
    if ((this.#signed?.size ?? -1) < head.size) this.#signed = head;
  }

  /** What was acknowledged is in the database whose cluster row this is. */
  agree({ stateVersion, confirmedSize }: Cluster): void {
    this.#stateVersion = stateVersion;
    this.#confirmedSize = confirmedSize;
    this.#declaredAt = undefined;
  }

  /** Whether what this memory holds, and the database lacks, has been declared. */
  get isDeclared(): boolean {
    return this.#declaredAt !== undefined;
  }

  /** The cluster is `recovering`, and this memory holds what it lacks. */
  declared({ stateVersion }: Cluster): void {
    this.#declaredAt = stateVersion;
  }

  /** What took rows back may have taken back the state, and its version, as well. */
  rewindTo({ stateVersion }: Cluster): void {
    this.#stateVersion = Math.min(this.#stateVersion, stateVersion);
  }

  /** An operator has confirmed a log without what was acknowledged here, and nothing of that was signed here. */
  forget(): void {
    this.#acknowledged = { size: 0, root: EMPTY_ROOT };
  }

  /**
   * Whether a thaw from `recovering` has happened since the memory was last in agreement with the database: a cluster that is
   * no longer recovering has been thawed, and a thaw that nobody here saw has left another confirmed size.
   */
  wasConfirmed({ stateVersion, confirmedSize }: Cluster): boolean {
    if (this.#declaredAt !== undefined && stateVersion > this.#declaredAt) return true;
    return (
      stateVersion > this.#stateVersion &&
      confirmedSize !== undefined &&
      confirmedSize !== this.#confirmedSize
    );
  }
}
