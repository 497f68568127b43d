import { setTimeout as sleep } from 'node:timers/promises';
import { type Environment, realEnvironment } from '../gateway/environment.ts';
import type { GatewayLogger } from '../gateway/logger.ts';
import type { AnchorExchange } from './anchor-exchange.ts';
import type { CallInMemory } from './anchor-job.ts';
import { ClusterLane } from './cluster-lane.ts';
import { AgentError } from './error.ts';
import type { LaneEnvironment } from './lane-environment.ts';
import { NotaryPresence } from './notary-presence.ts';
import type { Spool } from './spool.ts';
import type { WaitingCaller } from './waiting-caller.ts';

export interface RelayOptions {
  readonly spool: Spool;
  readonly exchange: AnchorExchange;
  readonly log: GatewayLogger;
  readonly tryTimeoutMs: number;
  /** Told when the notary failed, so that the next try looks for another connection. */
  readonly onFailure: () => void;
}

/** Between tries, of each agent: callers wait for the first that succeeds. */
const BACKOFF = { minDelayMs: 250, maxDelayMs: 5_000 };
/** Leaves read from disk for tries that are under way; one call that is bigger goes alone. */
const MAX_LOADED_BYTES = 64 * 1024 * 1024;
/** How often dead letters that were taken out are looked for, and a disk that failed. */
const LOOK_EVERY_MS = 2_000;
const LOOK_AT_CALLERS_EVERY_MS = 20;

/** CreateAnchor, made durable: lanes for clusters, which share the spool and the connection. */
export class AnchorRelay {
  readonly #options: RelayOptions;
  readonly #lanes = new Map<string, ClusterLane>();
  readonly #presence: NotaryPresence;
  readonly #stopping = new AbortController();
  readonly #env: LaneEnvironment;
  readonly #starved = new Set<ClusterLane>();
  #loadedBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: RelayOptions, environment: Environment = realEnvironment) {
    this.#options = options;
    this.#presence = new NotaryPresence(options.log, () => environment.now());
    this.#env = {
      now: () => environment.now(),
      random: () => environment.random(),
      newRequestId: () => environment.newRequestId(),
      after: (delayMs, run) => environment.after(delayMs, run),
      spool: options.spool,
      exchange: options.exchange,
      presence: this.#presence,
      log: options.log,
      signal: this.#stopping.signal,
      tryTimeoutMs: options.tryTimeoutMs,
      backoff: BACKOFF,
      notaryAnswered: () => this.#answered(),
      notaryFailed: (status, message) => {
        options.onFailure();
        this.#presence.failed(status, message);
      },
      takeMemory: (bytes, lane) => this.#takeMemory(bytes, lane),
      giveMemory: (bytes) => this.#giveMemory(bytes),
    };
  }

  /** Takes up what the spool holds, and begins. @throws {AgentError} SPOOL_FAILED */
  async start(): Promise<void> {
    const found = await this.#options.spool.open();
    const byCluster = Map.groupBy(found, ({ header }) => header.clusterId);
    for (const [clusterId, calls] of byCluster) this.#laneOf(clusterId).restore(calls);
    if (found.length > 0)
      this.#options.log.info({ calls: found.length }, 'the spool holds calls of an earlier run');
    for (const lane of this.#lanes.values()) lane.pump();
    const look = async () => {
      await this.#options.spool.probe();
      await this.#takeRevived();
      if (!this.#stopping.signal.aborted) this.#timer = setTimeout(look, LOOK_EVERY_MS);
    };
    await look();
  }

  /** Whether a call would be anchored, or at least kept. */
  get canTakeCalls(): boolean {
    return !this.#presence.isAway || this.#options.spool.isOpen;
  }

  submit(call: Omit<CallInMemory, 'requestId'>, caller: WaitingCaller): () => void {
    return this.#laneOf(call.clusterId).submit(call, caller);
  }

  /**
   * Waits for those who wait, as long as the notary is there; then tells the rest that what they sent is kept, and ends all
   * tries.
   */
  async stop(graceMs: number): Promise<void> {
    clearTimeout(this.#timer);
    const endsAt = performance.now() + graceMs;
    while (!this.#presence.isAway && this.#waitingCallers > 0 && performance.now() < endsAt) {
      await sleep(LOOK_AT_CALLERS_EVERY_MS);
    }
    await Promise.all([...this.#lanes.values()].map((lane) => lane.giveUpAll()));
    this.#stopping.abort();
    for (const lane of this.#lanes.values()) lane.close();
    await this.#options.spool.close();
  }

  get #waitingCallers(): number {
    return [...this.#lanes.values()].reduce((sum, lane) => sum + lane.waitingCallers, 0);
  }

  #laneOf(clusterId: string): ClusterLane {
    const known = this.#lanes.get(clusterId);
    if (known !== undefined) return known;
    // Cluster ids come from callers: what nothing is known of takes no memory.
    const lane = new ClusterLane(this.#env, () => {
      if (this.#lanes.get(clusterId) === lane) this.#lanes.delete(clusterId);
    });
    this.#lanes.set(clusterId, lane);
    return lane;
  }

  #answered(): void {
    if (this.#presence.isThere()) for (const lane of this.#lanes.values()) lane.wake();
  }

  async #takeRevived(): Promise<void> {
    const { spool, log } = this.#options;
    try {
      for await (const stored of spool.revived()) {
        const call = await spool.read(stored);
        await this.#laneOf(call.clusterId).revive(call);
        await spool.forgetRevived(stored);
        log.info({ clusterId: call.clusterId, requestId: call.requestId }, 'a dead letter goes again');
      }
    } catch (error) {
      // There may be room later.
      if (error instanceof AgentError && error.code === 'SPOOL_FULL') return;
      log.error({ err: error }, 'dead letters that were taken out cannot go again');
    }
  }

  #takeMemory(bytes: number, lane: ClusterLane): boolean {
    if (this.#loadedBytes > 0 && this.#loadedBytes + bytes > MAX_LOADED_BYTES) {
      this.#starved.add(lane);
      return false;
    }
    this.#loadedBytes += bytes;
    return true;
  }

  #giveMemory(bytes: number): void {
    this.#loadedBytes -= bytes;
    const starved = [...this.#starved];
    this.#starved.clear();
    for (const lane of starved) lane.pump();
  }
}
