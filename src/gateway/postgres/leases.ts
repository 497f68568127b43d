import type { GatewayLogger } from '../logger.ts';
import type { Database } from './database.ts';
import type { OutboxNames } from './names.ts';

/**
 * Which sealed batches this process has in hand, so that others do not send them too. Renewed while they are held; by the clock
 * of the database, so that replicas need not agree on the time. A lease that runs out too early costs a second call with the same
 * request_id and the same bytes, and nothing else.
 */
export class Leases {
  readonly leaseMs: number;
  readonly #database: Database;
  readonly #log: GatewayLogger;
  readonly #taker: string;
  readonly #held = new Set<string>();
  readonly #renewSql: string;
  readonly #releaseSql: string;
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;

  /** @param taker UUID of this process */
  constructor(database: Database, names: OutboxNames, taker: string, leaseMs: number, log: GatewayLogger) {
    this.#database = database;
    this.#taker = taker;
    this.leaseMs = leaseMs;
    this.#log = log;
    const ours = `WHERE request_id = ANY ($1::uuid[]) AND leased_by = $2::uuid`;
    this.#renewSql = `UPDATE ${names.batches} SET leased_until = clock_timestamp() + $3::bigint * interval '1 millisecond' ${ours}`;
    this.#releaseSql = `UPDATE ${names.batches} SET leased_by = NULL, leased_until = NULL ${ours}`;
  }

  get held(): readonly string[] {
    return [...this.#held];
  }

  add(requestId: string): void {
    this.#held.add(requestId);
    // Three tries before it runs out. A process that has nothing else to do may end.
    this.#timer ??= setInterval(() => this.#renew(), this.leaseMs / 3).unref();
  }

  delete(requestId: string): void {
    this.#held.delete(requestId);
    if (this.#held.size === 0) this.#stop();
  }

  /** Leaves those alone that another one took in the meantime. @throws {GatewayError} OUTBOX_FAILED */
  async release(requestIds: readonly string[]): Promise<void> {
    const ours = requestIds.filter((requestId) => this.#held.has(requestId));
    if (ours.length === 0) return;
    await this.#database.run('put back what was not sent', this.#releaseSql, [ours, this.#taker]);
    for (const requestId of ours) this.delete(requestId);
  }

  async close(): Promise<void> {
    this.#stop();
    await this.#renewing;
    await this.release(this.held);
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #renew(): void {
    // A database that is slow is not asked more often for it.
    this.#renewing ??= this.#database
      .run('renew leases', this.#renewSql, [this.held, this.#taker, this.leaseMs])
      .then(
        () => {},
        (error: Error) => this.#log.warn({ error: error.message }, 'leases on batches were not renewed'),
      )
      .finally(() => {
        this.#renewing = undefined;
      });
  }
}
