import type { Backlog } from '../outbox.ts';
import { epochMs, readMs } from './batch-row.ts';
import type { Database, Row } from './database.ts';
import type { OutboxNames } from './names.ts';

/** A shorter queue is counted whenever somebody asks. */
const LONG_QUEUE = 200_000;
/** A longer one so seldom that counting takes a twentieth of the time. */
const REST = 20;
/** How old a count may be for whoever only wants to know whether there is room. */
const FRESH_MS = 1_000;

/** How much there is. Counting reads the whole queue, so a long one is counted less often. */
export class Census {
  readonly #database: Database;
  readonly #text: string;
  #last: { readonly backlog: Backlog; readonly atMs: number; readonly costMs: number } | undefined;
  #counting: Promise<Backlog> | undefined;
  /** leaves that this process has added since the last count, less those that it has brought home */
  #since = 0;

  constructor(database: Database, names: OutboxNames) {
    this.#database = database;
    this.#text = backlogSql(names);
  }

  /** Exact at the moment of the count, which is now, or with a long queue up to twenty times as long ago as it took. */
  async backlog(): Promise<Backlog> {
    const last = this.#last;
    const isLong = last !== undefined && last.backlog.unsealed > LONG_QUEUE;
    if (isLong && this.#ageMs() < last.costMs * REST) return last.backlog;
    return await this.#count();
  }

  /**
   * How many leaves may be added, dead ones counted as well. Exact as to what this process did; what others did is known from a
   * count of the last second, or of twenty times as long as it took.
   */
  async room(most: number): Promise<number> {
    const restMs = (this.#last?.costMs ?? 0) * REST;
    if (this.#ageMs() > Math.max(FRESH_MS, restMs)) await this.#count();
    // Nobody is refused for what may be gone by now.
    if (this.#held() >= most && this.#ageMs() > restMs) await this.#count();
    return Math.max(0, most - this.#held());
  }

  changed(leaves: number): void {
    this.#since += leaves;
  }

  #held(): number {
    const { leaves = 0, deadLeaves = 0 } = this.#last?.backlog ?? {};
    return leaves + deadLeaves + this.#since;
  }

  #ageMs(): number {
    return this.#last === undefined ? Number.POSITIVE_INFINITY : performance.now() - this.#last.atMs;
  }

  #count(): Promise<Backlog> {
    this.#counting ??= this.#run().finally(() => {
      this.#counting = undefined;
    });
    return this.#counting;
  }

  async #run(): Promise<Backlog> {
    const startMs = performance.now();
    const sinceBefore = this.#since;
    const [row] = await this.#database.run('count what waits', this.#text);
    const backlog = readBacklog(row ?? {});
    const atMs = performance.now();
    this.#last = { backlog, atMs, costMs: atMs - startMs };
    this.#since -= sinceBefore;
    return backlog;
  }
}

/** One statement, so that no leaf is counted twice or left out while it is sealed. */
function backlogSql({ leaves, batches }: OutboxNames): string {
  // The size of a value that is stored apart is read without it.
  const count = 'coalesce(sum(octet_length(leaves) / 32)';
  return `SELECT queued.*, sealed.*,
  (SELECT ${epochMs('enqueued_at')} FROM ${leaves} ORDER BY sequence LIMIT 1) AS queued_at_ms
FROM (SELECT count(*)::text AS unsealed FROM ${leaves}) AS queued,
  (SELECT (count(*) FILTER (WHERE buried_at IS NULL))::text AS batches,
    (${count} FILTER (WHERE buried_at IS NULL), 0))::text AS sealed,
    (${count} FILTER (WHERE buried_at IS NOT NULL), 0))::text AS dead,
    ${epochMs('min(enqueued_at) FILTER (WHERE buried_at IS NULL)')} AS sealed_at_ms
  FROM ${batches}) AS sealed`;
}

function readBacklog(row: Row): Backlog {
  const unsealed = Number(row.unsealed);
  const ages = [readMs(row.queued_at_ms), readMs(row.sealed_at_ms)].filter((age) => age !== undefined);
  return {
    leaves: unsealed + Number(row.sealed),
    unsealed,
    batches: Number(row.batches),
    deadLeaves: Number(row.dead),
    oldestAtMs: ages.length === 0 ? undefined : Math.min(...ages),
  };
}
