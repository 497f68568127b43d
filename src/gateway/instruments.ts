// What is measured of a gateway: one list for OpenTelemetry and for Prometheus. Labels come from closed lists.

import type { VerificationErrorCode } from '../verify/index.ts';
import type { GatewayErrorCode } from './error.ts';
import type { GatewayStats } from './stats.ts';

/** What every name begins with. */
export const NAMESPACE = 'quartermaster.gateway';

export interface Instrument {
  readonly kind: 'counter' | 'gauge';
  /** below {@link NAMESPACE}, by the conventions of OpenTelemetry */
  readonly name: string;
  /** UCUM: `s`, or what is counted in braces, or nothing where the value is 0 or 1 */
  readonly unit: string;
  readonly description: string;
  /** undefined or NaN: there is nothing to tell now */
  readonly read: (stats: GatewayStats) => number | undefined;
  readonly labels?: (stats: GatewayStats) => Record<string, string>;
}

export const INSTRUMENTS: readonly Instrument[] = [
  gauge('leaves.queued', '{leaf}', 'Leaves neither anchored nor refused', (stats) => stats.queuedLeaves),
  gauge(
    'leaves.oldest_age',
    's',
    'How long the oldest queued leaf has waited',
    (stats) => stats.oldestAgeMs / 1000,
  ),
  gauge('leaves.dead', '{leaf}', 'Leaves in the dead-letter store', (stats) => stats.deadLeaves),
  gauge('batches.queued', '{batch}', 'Sealed batches without an answer', (stats) => stats.queuedBatches),
  gauge(
    'batches.in_flight',
    '{batch}',
    'Batches that this process has in hand',
    (stats) => stats.inFlightBatches,
  ),
  gauge(
    'submits.blocked',
    '{submit}',
    'Submits that wait for room in the outbox',
    (stats) => stats.blockedSubmits,
  ),
  counter('leaves.submitted', '{leaf}', 'Leaves that the outbox took', (stats) => stats.submittedLeaves),
  counter(
    'leaves.rejected',
    '{leaf}',
    'Leaves that the outbox did not take',
    (stats) => stats.rejectedLeaves,
  ),
  counter('leaves.anchored', '{leaf}', 'Leaves that the notary anchored', (stats) => stats.anchoredLeaves),
  counter(
    'leaves.refused',
    '{leaf}',
    'Leaves that the notary refused for good',
    (stats) => stats.refusedLeaves,
  ),
  counter(
    'batches.anchored',
    '{batch}',
    'Batches that the notary anchored',
    (stats) => stats.anchoredBatches,
  ),
  counter('batches.split', '{batch}', 'Batches that were split after a refusal', (stats) => stats.splits),
  counter('calls.sent', '{call}', 'Calls of CreateAnchor', (stats) => stats.attempts),
  counter(
    'calls.retried',
    '{call}',
    'Those that were not the first of their batch',
    (stats) => stats.retries,
  ),
  counter('alarms.raised', '{alarm}', 'Times that the notary contradicted itself', (stats) => stats.alarms),
  gauge('notary.up', '', '1 while the notary takes batches, 0 while it is away', (stats) =>
    stats.awaySinceMs === undefined ? 1 : 0,
  ),
  gauge('notary.away_start_time', 's', 'Unix time at which the notary went away, while it is', (stats) =>
    stats.awaySinceMs === undefined ? undefined : stats.awaySinceMs / 1000,
  ),
  gauge('submission.stopped', '', '1 after an alarm that stopped submissions', (stats) =>
    stats.isStopped ? 1 : 0,
  ),
  {
    ...gauge('last_error.time', 's', 'Unix time of the newest error', ({ lastError }) =>
      lastError === undefined ? undefined : lastError.atMs / 1000,
    ),
    labels: ({ lastError }) => ({ code: knownCode(lastError?.code) }),
  },
  {
    ...gauge('info', '', 'Always 1; says which outbox is in use', () => 1),
    labels: ({ outbox }) => ({ outbox }),
  },
];

type Read = Instrument['read'];

function gauge(name: string, unit: string, description: string, read: Read): Instrument {
  return { kind: 'gauge', name, unit, description, read };
}

function counter(name: string, unit: string, description: string, read: Read): Instrument {
  return { kind: 'counter', name, unit, description, read };
}

/** What the label `code` may be: whatever else comes, from a notary or a library, must not make a series of its own. */
function knownCode(code: string | undefined): string {
  return code !== undefined && Object.hasOwn(CODES, code) ? code : 'OTHER';
}

type StatusName =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** Alarms have codes of their own, too. */
type AlarmCode = VerificationErrorCode | 'KNOWN_CHECKPOINT_REFUSED';

const CODES: Readonly<Record<StatusName | GatewayErrorCode | AlarmCode, true>> = {
  KNOWN_CHECKPOINT_REFUSED: true,
  CANCELLED: true,
  UNKNOWN: true,
  INVALID_ARGUMENT: true,
  DEADLINE_EXCEEDED: true,
  NOT_FOUND: true,
  ALREADY_EXISTS: true,
  PERMISSION_DENIED: true,
  RESOURCE_EXHAUSTED: true,
  FAILED_PRECONDITION: true,
  ABORTED: true,
  OUT_OF_RANGE: true,
  UNIMPLEMENTED: true,
  INTERNAL: true,
  UNAVAILABLE: true,
  DATA_LOSS: true,
  UNAUTHENTICATED: true,
  BAD_OPTIONS: true,
  BAD_EVENT: true,
  OUTBOX_FULL: true,
  OUTBOX_IN_USE: true,
  OUTBOX_FAILED: true,
  DEAD_LETTER: true,
  DISABLED: true,
  CLOSED: true,
  BAD_POLICY: true,
  BAD_EXPECTED: true,
  BAD_RECEIPT: true,
  BAD_RESPONSE: true,
  BAD_CHECKPOINT: true,
  ORIGIN_MISMATCH: true,
  BAD_RECORD: true,
  CLUSTER_MISMATCH: true,
  ANCHOR_MISMATCH: true,
  LEAF_MISMATCH: true,
  LEAF_INDEX_MISMATCH: true,
  LEAF_INDEX_OUT_OF_RANGE: true,
  LEAF_COUNT_MISMATCH: true,
  ROOT_MISMATCH: true,
  REVISION_MISMATCH: true,
  REQUEST_ID_MISMATCH: true,
  LEAF_PATH: true,
  LOG_INDEX_OUT_OF_RANGE: true,
  RECORD_PATH: true,
  UNKNOWN_KEY: true,
  BAD_SIGNATURE: true,
  SIZE_SHRANK: true,
  CONSISTENCY_PATH: true,
};
