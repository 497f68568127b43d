/** Why a lock was not taken. Each user of locks says it in the words of its own layer. */
export class LockError extends Error {
  override readonly name = 'LockError';
  /** IN_USE: another process holds it. FAILED: the file system refuses, the `cause` says why. */
  readonly code: 'IN_USE' | 'FAILED';

  constructor(code: 'IN_USE' | 'FAILED', message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
