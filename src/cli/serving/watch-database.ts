import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Storage } from '../../notary/storage.ts';

const INTERVAL_MS = 2_000;

/** Tells health checks whether the database answers, so that traffic goes to replicas that can serve it. @returns how to stop */
export function watchDatabase(
  storage: Pick<Storage, 'ping'>,
  server: { setServing(serving: boolean): void },
  logger: Logger,
): () => void {
  const stopped = new AbortController();
  const watch = async (): Promise<void> => {
    let isServing = true;
    while (!stopped.signal.aborted) {
      const reason = await storage.ping().then(
        () => undefined,
        (error: unknown) => error ?? 'unknown',
      );
      if (stopped.signal.aborted) return;
      if ((reason === undefined) !== isServing) {
        isServing = reason === undefined;
        server.setServing(isServing);
        if (isServing) logger.info({}, 'the database answers again');
        else logger.error({ err: reason }, 'the database does not answer');
      }
      await sleep(INTERVAL_MS, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined);
    }
  };
  void watch();
  return () => stopped.abort();
}
