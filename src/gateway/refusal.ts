// What a failed call means: wait and send again, split, or give up. The one place where a gateway judges gRPC statuses.

import { status } from '@grpc/grpc-js';
import { statusDetails } from '../rpc/status-details.ts';
import type { Refusal } from './outbox.ts';

/** What to do about a failed call. `status` is the name of the gRPC status, `message` is for a person. */
export type Judgement =
  /** The same call can succeed later: send it again, without end. */
  | {
      readonly kind: 'retry';
      /** how long the notary asks to wait at least, up to an hour; undefined where it does not say */
      readonly delayMs: number | undefined;
      /** Nobody is there, or nobody who can serve: a new connection may find another who can. */
      readonly isDown: boolean;
      readonly status: string;
      readonly message: string;
    }
  /** Too many leaves or bytes for one call: split. One leaf alone cannot be too big, so that this is then a defect: send it again. */
  | { readonly kind: 'too-big'; readonly refusal: Refusal }
  /** It can never succeed. */
  | {
      readonly kind: 'refused';
      /** for a reason of the call and of no leaf, so that splitting finds no culprit */
      readonly whole: boolean;
      /** The notary names leaves: these leaves were never anchored together, whatever became of earlier tries. */
      readonly isAboutLeaves: boolean;
      readonly refusal: Refusal;
    }
  /** The notary does not know a checkpoint that was verified as its own: an alarm, and no leaf's fault. */
  | { readonly kind: 'known-checkpoint-refused'; readonly status: string; readonly message: string }
  /** The notary says itself that its log was rolled back, forked or damaged: an alarm; then send it again, once somebody acted. */
  | {
      readonly kind: 'data-loss';
      readonly delayMs: number | undefined;
      readonly status: string;
      readonly message: string;
    };

/** `ErrorInfo.domain` of what a notary answers itself; proxies and gRPC libraries answer without it. */
const NOTARY_DOMAIN = 'quartermaster.dev';
const MAX_DELAY_MS = 3_600_000;
/** The notary's own words are shorter; a proxy may send a page. */
const MAX_MESSAGE_CHARACTERS = 1_024;

/**
 * What grpc-js says in the notary's name, with statuses that a notary uses for something else: an HTTP error of a proxy, a
 * stream that was reset because of load (our own notary does that to readers that are too slow), a TLS that is too weak.
 */
const SAID_BY_TRANSPORT =
  /^(?:Received HTTP status code|Bandwidth exhausted or memory limit exceeded|Protocol not secure enough)/;
/** A proxy that counts calls: smaller batches would be more of them. */
const RATE_LIMITED = /rate.?limit|too many (?:requests|calls)|quota/i;

/** Fields of a CreateAnchorRequest: `leaves`, `leaves[7]`, `packed_leaves`. */
const NAMES_LEAVES = /^(?:packed_)?leaves\b/;

/**
 * Judges what a call rejected with. Pure. In doubt a call is repeated: what is repeated for nothing costs a call, what is
 * given up for nothing costs an event its proof.
 *
 * @param error an error of grpc-js. Anything else is a defect of this side, which a later version may not have: `INTERNAL`
 * @example
 * ```ts
 * const judgement = judge(error);
 * if (judgement.kind === 'retry') console.warn(`${judgement.status}: again in ${judgement.delayMs ?? 1_000} ms`);
 * ```
 */
export function judge(error: unknown): Judgement {
  const code = codeOf(error);
  const message = messageOf(error);
  const details = statusDetails(error);
  const delayMs = boundedDelay(details?.retryDelayMs);
  const named = { status: status[code ?? status.INTERNAL] ?? 'UNKNOWN', message };
  const again = (isDown: boolean): Judgement => ({ kind: 'retry', delayMs, isDown, ...named });
  const refusal: Refusal = { ...named, reason: details?.reason ?? '' };
  const isNotarys = details?.domain === NOTARY_DOMAIN;
  const fields = details?.violations.map(({ field }) => field) ?? [];
  const isAboutLeaves = isNotarys && fields.some((field) => NAMES_LEAVES.test(field));
  const refused = (whole: boolean): Judgement => ({ kind: 'refused', whole, isAboutLeaves, refusal });
  if (!isNotarys && code !== undefined && SAID_BY_TRANSPORT.test(message)) return again(true);

  switch (code) {
    case undefined:
      return again(false);
    case status.UNAVAILABLE:
    case status.DEADLINE_EXCEEDED:
    case status.CANCELLED:
      return again(true);
    // Every notary has CreateAnchor, so this is the wrong endpoint, or a proxy that cannot find one.
    case status.UNIMPLEMENTED:
      return again(true);
    // A notary that has a defect is there; from anybody else it is a connection that broke.
    case status.INTERNAL:
    case status.UNKNOWN:
      return again(!isNotarys);
    // Renewed credentials, or an operator who thaws the cluster or gives it a successor, make the same call succeed.
    case status.UNAUTHENTICATED:
    case status.FAILED_PRECONDITION:
    case status.ABORTED:
      return again(false);
    case status.RESOURCE_EXHAUSTED: {
      const mayPass = delayMs !== undefined || (!isNotarys && RATE_LIMITED.test(message));
      return mayPass ? again(false) : { kind: 'too-big', refusal };
    }
    case status.DATA_LOSS:
      return { kind: 'data-loss', delayMs, ...named };
    case status.INVALID_ARGUMENT:
      if (fields.length > 0 && fields.every((field) => field === 'known_checkpoint')) {
        return { kind: 'known-checkpoint-refused', ...named };
      }
      // All that is wrong is named, and no leaf is: each part of the batch would be refused alike.
      return refused(isNotarys && fields.length > 0 && !isAboutLeaves);
    // Splitting makes new request_ids, under which leaves that are anchored already would be anchored again.
    case status.ALREADY_EXISTS:
      return refused(true);
    // An unknown cluster, a caller without permission: with the notary's own signature under it no leaf is to blame.
    case status.NOT_FOUND:
    case status.PERMISSION_DENIED:
      return refused(isNotarys);
    case status.OUT_OF_RANGE:
      return refused(false);
    default:
      return again(false);
  }
}

/** The gRPC status of an error; undefined where it has none. */
export function codeOf(error: unknown): number | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  // Errors of Node.js have codes too, which are texts; 0 is OK, and no error.
  return typeof code === 'number' && Number.isInteger(code) && code > 0 ? code : undefined;
}

function messageOf(error: unknown): string {
  const { details, message } = (error ?? {}) as { readonly details?: unknown; readonly message?: unknown };
  const said = [details, message, error].find((text) => typeof text === 'string' && text !== '');
  // grpc-js ends some messages with a heading and nothing below it.
  return ((said as string | undefined) ?? 'it says nothing')
    .replace(/\s*Resolution note:\s*$/, '')
    .slice(0, MAX_MESSAGE_CHARACTERS)
    .toWellFormed();
}

/** Whatever somebody asks for, a timer can hold it, and a notary that is back is not left waiting for a day. */
function boundedDelay(delayMs: number | undefined): number | undefined {
  return delayMs === undefined ? undefined : Math.min(Math.max(delayMs, 0), MAX_DELAY_MS);
}
