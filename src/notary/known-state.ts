import { NotaryError } from './error.ts';
import type { Logger } from './logger.ts';
import type { Cluster, ClusterState, Storage } from './storage.ts';

/** What speaks against a log, and the state that follows from it. */
export interface Evidence {
  readonly to: 'recovering' | 'sealed';
  readonly code: 'LOG_ROLLED_BACK' | 'LOG_FORKED';
  readonly reason: string;
}

/** A cluster's state as this process knows it: what the database says, and evidence that it could not be told yet. */
export class KnownState {
  readonly #storage: Storage;
  readonly #logger: Logger;
  #cluster: Cluster;
  #undeclared: Evidence | undefined;

  constructor(storage: Storage, logger: Logger, cluster: Cluster) {
    this.#storage = storage;
    this.#logger = logger;
    this.#cluster = cluster;
  }

  get cluster(): Cluster {
    return this.#cluster;
  }

  /** What the database could not be told yet. */
  get undeclared(): Evidence | undefined {
    return this.#undeclared;
  }

  /** Takes what was read, unless something newer was read before. */
  note(cluster: Cluster): void {
    if (cluster.stateVersion >= this.#cluster.stateVersion) this.#cluster = cluster;
  }

  /** Takes what was read although its version is older: what took rows back may have taken back the state as well. */
  rewindTo(cluster: Cluster): void {
    this.#cluster = cluster;
  }

  /**
   * Changes the cluster's state and says so loudly. Where the database cannot be told, the evidence is kept, to be declared
   * again.
   *
   * @returns the error for whoever's call has brought it up
   */
  async declare(evidence: Evidence): Promise<NotaryError> {
    const { to, code, reason } = evidence;
    const { clusterId } = this.#cluster;
    this.#logger.error({ clusterId, state: to, reason: code, detail: reason }, `the log is ${to}`);
    const from: ClusterState[] = to === 'sealed' ? ['active', 'frozen', 'recovering'] : ['active', 'frozen'];
    try {
      const changed = await this.#storage.changeState({ clusterId, from, to, reason });
      if (changed !== undefined) this.note(changed);
      if (to === 'sealed' || this.#undeclared?.to === 'recovering') this.#undeclared = undefined;
    } catch (cause) {
      this.#logger.error({ clusterId, err: cause }, 'the state could not be stored');
      if (this.#undeclared?.to !== 'sealed') this.#undeclared = evidence;
      return new NotaryError(code, reason, { cause });
    }
    return new NotaryError(code, reason);
  }
}
