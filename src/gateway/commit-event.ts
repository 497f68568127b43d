// What is sent of an event: 32 bytes that say nothing about it to whoever lacks the salt.

import { randomFillSync } from 'node:crypto';
import {
  canonicalEvent,
  leafOfCanonical,
  SALT_SIZE,
  hashEvent as unsaltedLeafOf,
} from '../verify/event-leaf.ts';
import { VerificationError } from '../verify/index.ts';
import { GatewayError } from './error.ts';

/** An event as it is sent, and what opens it. */
export interface EventCommitment {
  /** 32 bytes: give it to `submit` */
  readonly leaf: Uint8Array;
  /** 16 random bytes: keep them beside the event, and show them to nobody who may not see the event */
  readonly salt: Uint8Array;
  /** the event as canonical JSON (RFC 8785) */
  readonly canonical: string;
}

/**
 * Commits to an event: its leaf covers all of it, and says nothing about it without the salt. Keep the salt and the event; destroy
 * both and what is in the log for ever is 32 bytes of noise.
 *
 * @param event plain JSON data. Refused: undefined, bigint, NaN, functions, Dates and other classes, lone surrogates, cycles.
 * @throws {GatewayError} BAD_EVENT, with the path to what JSON cannot say
 * @example
 * ```ts
 * const event = { type: 'session.opened', user: 'ada', at: new Date().toISOString() };
 * const commitment = commitEvent(event);
 * await sql`insert into audit_events (event_id, event, salt) values (${eventId}, ${event}, ${commitment.salt})`;
 * await gateway.submit({ eventId, ...commitment });
 * ```
 */
export function commitEvent(event: object): EventCommitment {
  return asGatewayError(() => {
    const canonical = canonicalEvent(event);
    const salt = randomFillSync(new Uint8Array(SALT_SIZE));
    return { leaf: leafOfCanonical(canonical, salt), salt, canonical };
  });
}

/**
 * The leaf of an event that is itself unguessable: SHA-256 of its canonical JSON (RFC 8785).
 *
 * Only for events that hold 128 random bits that are shown nowhere else. Whoever sees the leaf (the notary, holders of receipts of its
 * neighbours) can try events until one fits: a user, a command and a time are found in seconds. A UUID of version 7 is no
 * secret (its 74 random bits stand beside a clock), and neither is an id that is printed in logs. When in doubt: {@link commitEvent}.
 *
 * @returns 32 bytes, for `submit`
 * @throws {GatewayError} BAD_EVENT, with the path to what JSON cannot say
 * @example
 * ```ts
 * await gateway.submit(hashEvent({ nonce: randomBytes(16).toString('hex'), type: 'session.opened', user: 'ada' }));
 * ```
 */
export function hashEvent(event: object): Uint8Array {
  return asGatewayError(() => unsaltedLeafOf(event));
}

function asGatewayError<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof VerificationError)) throw error;
    throw new GatewayError('BAD_EVENT', error.message, { cause: error });
  }
}
