// What the agent answers in its own name. All else is the notary's.

import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { encodeStatusDetails, STATUS_DETAILS } from '../rpc/status-details.ts';
import { ERROR_DOMAIN } from '../server/status.ts';
import { VerificationError } from '../verify/index.ts';
import { AgentError } from './error.ts';
import { passedOn } from './notary-channel.ts';

/** `ErrorInfo.reason` of the agent's own statuses; each is good for a retry but the last. */
export type AgentReason =
  /** the batch is in the spool, and will be anchored */
  | 'SPOOLED'
  | 'SPOOL_FULL'
  | 'SPOOL_FAILED'
  | 'TOO_MANY_CALLS'
  | 'NOTARY_UNREACHABLE'
  /** the notary's answer does not prove what it says */
  | 'ANSWER_NOT_VERIFIED';

const CODES: Readonly<Record<AgentReason, readonly [code: status, retryDelayMs: number | undefined]>> = {
  SPOOLED: [status.UNAVAILABLE, 1_000],
  SPOOL_FULL: [status.RESOURCE_EXHAUSTED, 5_000],
  SPOOL_FAILED: [status.UNAVAILABLE, 5_000],
  TOO_MANY_CALLS: [status.RESOURCE_EXHAUSTED, 1_000],
  NOTARY_UNREACHABLE: [status.UNAVAILABLE, 1_000],
  ANSWER_NOT_VERIFIED: [status.DATA_LOSS, undefined],
};

const MAX_MESSAGE_CHARACTERS = 1_024;

export function agentStatus(reason: AgentReason, said: string): StatusObject {
  const [code, retryDelayMs] = CODES[reason];
  // Well-formed, since grpc-js percent-encodes it with encodeURI, which throws on a lone surrogate.
  const message = said.slice(0, MAX_MESSAGE_CHARACTERS).toWellFormed();
  const metadata = new Metadata();
  const details = { reason, domain: ERROR_DOMAIN, violations: [], retryDelayMs };
  metadata.set(STATUS_DETAILS, Buffer.from(encodeStatusDetails(code, message, details)));
  return { code, details: message, metadata };
}

/** The promise that a caller gets who cannot wait any longer. */
export function spooled(requestId: string): StatusObject {
  return agentStatus(
    'SPOOLED',
    `not anchored yet, but kept on disk as request ${requestId}, which will be anchored: a retry with the same cluster_id, ` +
      'etcd_revision, leaves and request_id, if there was one, finds the same batch',
  );
}

export function spoolRefusal(error: unknown): StatusObject {
  const isFull = error instanceof AgentError && error.code === 'SPOOL_FULL';
  return isFull
    ? agentStatus(
        'SPOOL_FULL',
        'the notary is away and the spool of the agent is full: nothing was kept, try again later',
      )
    : agentStatus(
        'SPOOL_FAILED',
        'the notary is away and the spool of the agent cannot be written: nothing was kept',
      );
}

/** A failure of a call to the notary, as the caller is told: unchanged, where it is the notary's. */
export function passedBack(error: unknown): StatusObject {
  const { code, details, metadata } = error as Partial<StatusObject>;
  // No answer of a notary and no failure of a connection: a defect of this side.
  if (code === undefined || metadata === undefined)
    return { code: status.INTERNAL, details: String(error), metadata: new Metadata() };
  const passed = passedOn(metadata);
  if (code === status.UNAVAILABLE && passed.get(STATUS_DETAILS).length === 0) {
    return agentStatus('NOTARY_UNREACHABLE', `the notary cannot be reached: ${details ?? ''}`);
  }
  return { code, details: details ?? '', metadata: passed };
}

/** What a caller is told of a try that failed. */
export function statusOfFailure(error: unknown): StatusObject {
  return error instanceof VerificationError
    ? agentStatus(
        'ANSWER_NOT_VERIFIED',
        `the notary's answer is not verified: ${error.code}: ${error.message}`,
      )
    : passedBack(error);
}
