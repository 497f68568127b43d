/** Why the gateway did not do what it was asked; a closed list, so that callers can switch over it. */
export type GatewayErrorCode =
  /** one or more options are wrong; the message lists them all */
  | 'BAD_OPTIONS'
  /** a leaf that is not 32 bytes, an event id that is too long, an event that has no canonical form */
  | 'BAD_EVENT'
  /** the outbox holds as much as it may; nothing was taken */
  | 'OUTBOX_FULL'
  /** another process uses the outbox */
  | 'OUTBOX_IN_USE'
  /** the outbox cannot be read or written; nothing was taken. The `cause` says why: ENOSPC, EROFS, no database */
  | 'OUTBOX_FAILED'
  /** the notary refuses this leaf for good; it is in the dead-letter store */
  | 'DEAD_LETTER'
  /** `clusterId` is empty, so nothing is ever anchored */
  | 'DISABLED'
  /** the gateway has been closed; what its outbox keeps is sent by the next process */
  | 'CLOSED';

/** The one error of this layer. What a lower layer said about it is the `cause`. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayErrorCode;

  constructor(code: GatewayErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.code = code;
  }
}
