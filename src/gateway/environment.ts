// The clock, chance, timers and the network, in one place, so that hours of outage can be lived through in a test.

import { v7 } from 'uuid';
import type { NotaryLink } from './notary-link.ts';

/**
 * Places between the event and its anchor at which a process may die. They exist so that tests can kill it there.
 *
 * In order: the outbox has promised; members and request_id are fixed and kept; about to send; an answer came; it is
 * verified; `onAnchored` has returned; the outbox knows.
 */
export type FaultPoint =
  | 'outbox.appended'
  | 'batch.sealed'
  | 'call.sending'
  | 'call.answered'
  | 'answer.verified'
  | 'application.told'
  | 'batch.settled'
  | 'batch.split'
  | 'batch.buried';

export interface Environment {
  /** milliseconds since the epoch */
  now(): number;
  /** from 0 up to 1 */
  random(): number;
  /** a UUID of version 7 in lower case */
  newRequestId(): string;
  /** Runs something once, later. @returns how to call it off */
  after(delayMs: number, run: () => void): () => void;
  /** undefined in production */
  reached?: ((point: FaultPoint) => void | Promise<void>) | undefined;
  /** in place of the one that the options describe */
  connect?: (() => NotaryLink) | undefined;
}

/** Timers of Node.js that are set for longer run at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const realEnvironment: Environment = {
  now: () => Date.now(),
  random: () => Math.random(),
  newRequestId: () => v7(),
  after(delayMs, run) {
    const timer = setTimeout(run, Math.min(delayMs, LONGEST_TIMER_MS));
    return () => clearTimeout(timer);
  },
};
