// Which events are worth an anchor: the rules of existing gateways.

/** What an event is. */
export type Classification =
  /** something was changed */
  | 'mutation'
  /** a session was opened, resumed, closed, ... */
  | 'session_lifecycle'
  /** something was looked at */
  | 'read';

/** What the policy that the event falls under asks for. */
export type Fidelity =
  /** anchored, whatever it is */
  | 'always_notarize'
  /** never anchored */
  | 'log_only'
  /** as its classification says */
  | 'standard';

/**
 * Whether an event is to be submitted. When in doubt it is: a string that is on neither list (JavaScript, a newer policy) counts as
 * `standard`, and as something that is no read. Events that nobody needed cost 32 bytes each; one that is missing is missed for ever.
 *
 * @example
 * ```ts
 * if (shouldNotarize(event.classification, policy.fidelity)) await gateway.submit({ eventId, ...commitEvent(event) });
 * ```
 */
export function shouldNotarize(classification: Classification, fidelity: Fidelity = 'standard'): boolean {
  if (fidelity === 'always_notarize') return true;
  if (fidelity === 'log_only') return false;
  return classification !== 'read';
}
