import { type Logger, pino } from 'pino';
import { codeOf } from '../error.ts';

/** JSON lines. Errors are told by what they say and where, never by the objects that a library has hung on them. */
export function createLogger(level: string, write: (line: string) => void): Logger {
  return pino({ level, serializers: { err: describeError } }, { write });
}

/**
 * Writes the lines of one turn of the event loop together: a write to a pipe is a system call that everybody waits for, and
 * a busy server has dozens of calls to log in a turn.
 */
export function writingOnceATurn(write: (lines: string) => void): (line: string) => void {
  let pending = '';
  const flush = () => {
    const lines = pending;
    pending = '';
    write(lines);
  };
  return (line) => {
    if (pending === '') setImmediate(flush);
    pending += line;
  };
}

/**
 * Only these fields: the driver of Postgres puts the row that a constraint refused (`detail`, with bytes of leaves) and, in its
 * pool, the whole connection with its cancel key (`client`) on its errors, and pino would write down every one.
 */
function describeError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack, cause } = error;
  const code = codeOf(error);
  return {
    type: name,
    message,
    ...(code === undefined ? {} : { code }),
    stack,
    ...(cause === undefined ? {} : { cause: describeError(cause) }),
  };
}
