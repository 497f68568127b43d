import { LockError } from '../exclusive/lock-error.ts';
import * as exclusive from '../exclusive/lock-file.ts';
import { CliError } from './error.ts';

/**
 * Takes the lock until it is released or the process ends.
 *
 * @param what names the locked thing in the message, for example `the manifest app.log.manifest.jsonl`
 * @returns how to release it
 * @throws {CliError} IN_USE while another process holds it, FAILED
 */
export function lockFile(path: string, what: string): () => void {
  try {
    return exclusive.lockFile(path, what);
  } catch (error) {
    if (error instanceof LockError) throw new CliError(error.code, error.message, { cause: error.cause });
    throw error;
  }
}
