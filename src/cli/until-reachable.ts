import { StorageError } from '../notary/storage.ts';
import { CliError, codeOf } from './error.ts';

const DELAY_MS = 500;

export interface Patience {
  readonly timeoutMs: number;
  now(): number;
  sleep(ms: number): Promise<unknown>;
  onWait?(reason: string): void;
}

/** Tries again while a database is not there (yet); it and this process are often started together. */
export async function untilReachable<T>(work: () => Promise<T>, patience: Patience): Promise<T> {
  const giveUpAt = patience.now() + patience.timeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      const reason = (error as Error).message || String(codeOf(error));
      if (patience.now() + DELAY_MS > giveUpAt) {
        throw new CliError('FAILED', `the database cannot be reached: ${reason}`, { cause: error });
      }
      patience.onWait?.(reason);
      await patience.sleep(DELAY_MS);
    }
  }
}

const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EPIPE',
]);
/** Starting up or shutting down; too many connections. */
const NOT_NOW = new Set(['57P01', '57P03', '53300']);

function isUnreachable(error: unknown): boolean {
  if (error instanceof StorageError) return error.code === 'UNAVAILABLE';
  const code = codeOf(error);
  return typeof code === 'string' && (NETWORK.has(code) || NOT_NOW.has(code));
}
