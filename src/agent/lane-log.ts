// What an operator must know of one cluster's calls.

import type { GatewayLogger } from '../gateway/logger.ts';
import type { Refusal } from '../gateway/outbox.ts';
import type { AnchorJob } from './anchor-job.ts';

export function logHeld(
  log: GatewayLogger,
  { content: { clusterId } }: AnchorJob,
  { status, message }: { readonly status: string; readonly message: string },
): void {
  log.warn({ clusterId, status, reason: message }, 'the notary does not take spooled calls now');
}

export function logBuried(
  log: GatewayLogger,
  { content: { clusterId }, requestId, leafCount }: AnchorJob,
  refusal: Refusal,
): void {
  log.error(
    { clusterId, requestId, leafCount, refusal },
    'the notary refused a call that nobody waits for: it is in the dead letters',
  );
}

/** For whoever watches for `alarm`. */
export function logAlarm(
  log: GatewayLogger,
  { content: { clusterId }, requestId }: AnchorJob,
  err: unknown,
): void {
  log.error(
    { alarm: true, clusterId, requestId, err },
    'the notary contradicts its own log, or says that it lost data: what it says is not passed on',
  );
}
