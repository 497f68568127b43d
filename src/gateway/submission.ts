import { GatewayError } from './error.ts';

const MAX_EVENT_ID_LENGTH = 1_024;

/** What `submit` takes: 32 bytes, or such bytes with the id of their event. What `commitEvent` gives is one. */
export type Submission = Uint8Array | { readonly leaf: Uint8Array; readonly eventId?: string | undefined };

/** @throws {GatewayError} BAD_EVENT */
export function checkSubmission(leaf: unknown, eventId: unknown): asserts leaf is Uint8Array {
  if (!(leaf instanceof Uint8Array)) {
    throw new GatewayError(
      'BAD_EVENT',
      'submit takes a leaf of 32 bytes, or an object with one; see commitEvent',
    );
  }
  if (leaf.length !== 32) throw new GatewayError('BAD_EVENT', `a leaf has 32 bytes, not ${leaf.length}`);
  if (eventId === undefined) return;
  if (typeof eventId !== 'string' || eventId.length === 0 || eventId.length > MAX_EVENT_ID_LENGTH) {
    throw new GatewayError('BAD_EVENT', `an event id is a string of 1 to ${MAX_EVENT_ID_LENGTH} characters`);
  }
}
