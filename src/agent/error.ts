/** Why the agent could not do what it was asked; a closed list, so that callers can switch over it. */
export type AgentErrorCode =
  /** the address to listen on is taken, or cannot be listened on */
  | 'CANNOT_LISTEN'
  /** the spool holds as much as it may; nothing was taken */
  | 'SPOOL_FULL'
  /** the spool cannot be read or written; nothing was taken. The `cause` says why: ENOSPC, EROFS */
  | 'SPOOL_FAILED'
  /** what the spool holds of one call is not what was written */
  | 'SPOOL_DAMAGED';

/** The one error of this layer. What a lower layer said about it is the `cause`. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly code: AgentErrorCode;

  constructor(code: AgentErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options);
    this.code = code;
  }
}
