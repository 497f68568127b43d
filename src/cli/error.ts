/** 0: done, or verified. 1: refused, or failed. 2: the command or the configuration is wrong. */
export const EXIT = { done: 0, refused: 1, usage: 2 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export type CliErrorCode =
  /** The command line makes no sense. */
  | 'USAGE'
  /** Settings are missing or wrong. */
  | 'CONFIGURATION'
  /** Something was checked and found wrong: a proof, an answer, a file that changed. */
  | 'REFUSED'
  /** A file, a server or a database did not do what was asked. */
  | 'FAILED'
  /** Another process is at work on the same manifest or data directory. */
  | 'IN_USE';

/** What a command says when it gives up: one clear message for a person; causes stay in `cause`. */
export class CliError extends Error {
  override readonly name = 'CliError';
  readonly code: CliErrorCode;
  constructor(code: CliErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Mistakes of whoever typed the command are told apart from refusals, so that scripts can react to each. */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof CliError && (error.code === 'USAGE' || error.code === 'CONFIGURATION')
    ? EXIT.usage
    : EXIT.refused;
}

/**
 * The `code` of an error of the system, of a library or of gRPC, such as `ENOENT`. Asks for no class: errors of Node's own
 * modules are not instances of every realm's Error.
 */
export function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}
