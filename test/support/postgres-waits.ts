import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';

/** Resolves to the process id of a backend that waits in a statement like this one, as soon as there is one. */
export async function waitingBackend(
  observer: pg.Client,
  wait: 'Lock' | 'SyncRep',
  statement: RegExp,
): Promise<number> {
  return await eventually(async () => {
    const { rows } = await observer.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
       WHERE datname = current_database() AND $1 IN (wait_event_type, wait_event) AND query ~ $2 AND pid <> pg_backend_pid()`,
      [wait, statement.source],
    );
    return rows[0]?.pid;
  });
}

/** Asks until there is an answer. */
export async function eventually<T>(ask: () => Promise<T | undefined>, timeoutMs = 20_000): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`nothing after ${timeoutMs} ms`);
    await delay(10);
  }
}
