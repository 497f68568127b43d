/** Why the embedded Postgres could not be run. */
export type EmbeddedPostgresErrorCode =
  /** The optional package, or its binaries for this platform, are not installed. */
  | 'NOT_INSTALLED'
  /** No user, or no way into the directory, to run Postgres as. */
  | 'NO_PERMISSION'
  /** Another living process runs this directory's database. */
  | 'IN_USE'
  /** initdb or postgres ended with an error. */
  | 'FAILED';

export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
  readonly code: EmbeddedPostgresErrorCode;
  constructor(code: EmbeddedPostgresErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
