import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { LineageChange } from '../../postgres/lineage.ts';
import type { PostgresStorage } from '../../postgres/storage.ts';

const INTERVAL_MS = 2_000;

/**
 * Tells health checks whether the database answers, so that traffic goes to replicas that can serve it, and looks whether it
 * is still the same one. @returns how to stop
 */
export function watchDatabase(
  storage: Pick<PostgresStorage, 'ping' | 'checkLineage'>,
  server: { setServing(serving: boolean): void },
  logger: Logger,
): () => void {
  const stopped = new AbortController();
  const failureOf = (work: Promise<void>): Promise<unknown> =>
    work.then(
      () => undefined,
      (error: unknown) => error ?? 'unknown',
    );
  const watch = async (): Promise<void> => {
    let isServing = true;
    while (!stopped.signal.aborted) {
      const reason = await failureOf(storage.ping());
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
  // Apart from the other, since it may have to write, which can wait for a standby as long as that is away.
  const watchLineage = async (): Promise<void> => {
    let isKnown = true;
    while (!stopped.signal.aborted) {
      const reason = await failureOf(storage.checkLineage());
      if (stopped.signal.aborted) return;
      if (reason !== undefined && isKnown) {
        logger.warn({ err: reason }, 'it could not be settled whether this is still the same database');
      }
      isKnown = reason === undefined;
      await sleep(INTERVAL_MS, undefined, { signal: stopped.signal, ref: false }).catch(() => undefined);
    }
  };
  void watch();
  void watchLineage();
  return () => stopped.abort();
}

/** What an operator has to know of it; see docs/failover.md. */
export function logLineageChange(logger: Logger, change: LineageChange): void {
  switch (change.kind) {
    case 'doubted':
      logger.fatal(
        { reason: change.reason, clusters: change.clusters },
        'this is not the database that was served before: acknowledged anchors may be missing, its clusters are recovering and take no anchors until each is thawed',
      );
      break;
    case 'noticedElsewhere':
      logger.error(
        { reason: change.reason },
        'this is not the database that was served before, as another server has noticed',
      );
      break;
    case 'continued':
      logger.warn(
        { reason: change.reason },
        'the database failed over to a synchronous standby: nothing was lost, the clusters go on',
      );
      break;
    case 'untold':
      logger.warn(
        { err: change.cause },
        'the database does not tell its system identifier and timeline: failovers are noticed only by what this server remembers of the logs',
      );
  }
}
