import { ClusterLog, type LogDependencies } from './cluster-log.ts';
import { NotaryError } from './error.ts';
import { Sequencer } from './sequencer.ts';

export interface OpenLog {
  readonly log: ClusterLog;
  readonly sequencer: Sequencer;
}

export interface OpenLogsOptions extends LogDependencies {
  readonly now: () => number;
  readonly maxQueuedAnchors: number;
  readonly outcomePatienceMs: number;
}

/** The logs that this process has opened, each once. They stay: what a process remembers of a log is evidence. */
export class OpenLogs {
  readonly #options: OpenLogsOptions;
  readonly #logs = new Map<string, Promise<OpenLog>>();
  #abandoned = false;

  constructor(options: OpenLogsOptions) {
    this.#options = options;
  }

  /** @throws NotaryError CLUSTER_NOT_FOUND, SIGNING_KEY_MISMATCH, LOG_CORRUPT; StorageError */
  get(clusterId: string): Promise<OpenLog> {
    const known = this.#logs.get(clusterId);
    if (known !== undefined) return known;
    const opening = this.#open(clusterId);
    this.#logs.set(clusterId, opening);
    // Failures are not kept: ids that name nothing would fill the memory, and databases come back.
    opening.catch(() => this.#logs.delete(clusterId));
    return opening;
  }

  /** Ends the waiting of everybody, also of those whose log is still being opened. */
  abandon(): void {
    this.#abandoned = true;
    for (const opening of this.#logs.values()) {
      opening.then(
        ({ sequencer }) => sequencer.abandon(),
        () => undefined,
      );
    }
  }

  async #open(clusterId: string): Promise<OpenLog> {
    const log = await ClusterLog.open(this.#options, clusterId);
    if (log === undefined) throw clusterNotFound(clusterId);
    const sequencer = new Sequencer({ ...this.#options, log });
    if (this.#abandoned) sequencer.abandon();
    return { log, sequencer };
  }
}

export function clusterNotFound(clusterId: string): NotaryError {
  return new NotaryError('CLUSTER_NOT_FOUND', `there is no cluster ${clusterId}`);
}
