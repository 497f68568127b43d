// What the gateway believes of an answer.

import type { BatchAnchor } from './outbox.ts';

/** An answer that was found to be in order. */
export interface AcceptedAnchor extends BatchAnchor {
  /** the half of the receipt that the leaves of the batch share */
  readonly proof: {
    readonly record: Uint8Array;
    readonly recordPath: readonly Uint8Array[];
    /** a signed note, verbatim, that covers `logIndex` */
    readonly checkpoint: string;
  };
  /** whether a pinned key has signed it */
  readonly verified: boolean;
}
