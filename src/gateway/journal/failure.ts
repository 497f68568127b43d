import { GatewayError } from '../error.ts';

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full: make room, and it goes on by itself',
  EDQUOT: 'the disk quota is used up: make room, and it goes on by itself',
  EIO: 'the disk fails: look at the system log, and at the disk',
  EROFS: 'the file system is read-only: mount it so that it can be written',
  EACCES: 'this process may not write there: give it the directory, with mode 0700',
  EPERM: 'this process may not write there: give it the directory, with mode 0700',
  ENOENT: 'the directory is gone, or the one above it is missing: make it, or mount what it is on',
  ENOTDIR: 'a file stands where the directory should be: name another directory',
  EMFILE: 'this process has too many files open: raise its limit',
  ENFILE: 'the system has too many files open: raise its limit',
};

/** OUTBOX_FAILED, in words that say what to do. */
export function failure(what: string, directory: string, cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause;
  const code = String((cause as NodeJS.ErrnoException | undefined)?.code ?? '');
  const advice = ADVICE[code] ?? String(cause);
  const named = code === '' ? '' : ` (${code})`;
  return new GatewayError('OUTBOX_FAILED', `cannot ${what} the journal ${directory}: ${advice}${named}`, {
    cause,
  });
}
