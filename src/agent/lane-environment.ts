import type { Environment } from '../gateway/environment.ts';
import type { GatewayLogger } from '../gateway/logger.ts';
import type { AnchorExchange } from './anchor-exchange.ts';
import type { ClusterLane } from './cluster-lane.ts';
import type { NotaryPresence } from './notary-presence.ts';
import type { Spool } from './spool.ts';

/** What the lanes of all clusters share. */
export interface LaneEnvironment extends Pick<Environment, 'now' | 'random' | 'newRequestId' | 'after'> {
  readonly spool: Spool;
  readonly exchange: AnchorExchange;
  readonly presence: Pick<NotaryPresence, 'isAway'>;
  readonly log: GatewayLogger;
  /** Ends all tries. */
  readonly signal: AbortSignal;
  /** how long one try may take */
  readonly tryTimeoutMs: number;
  /** most of the first wait between tries, which doubles with each, and most of any */
  readonly backoff: { readonly minDelayMs: number; readonly maxDelayMs: number };
  notaryAnswered(): void;
  notaryFailed(status: string, message: string): void;
  /** Room for leaves read from disk. Where there is none the lane is pumped again when there is. */
  takeMemory(bytes: number, lane: ClusterLane): boolean;
  giveMemory(bytes: number): void;
}
