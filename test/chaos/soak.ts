import { setTimeout as delay } from 'node:timers/promises';
import { CarefulCaller, leavesNamed } from '../integration/careful-caller.ts';
import { startServerProcess } from '../integration/server-process.ts';
import type { TestDatabase } from '../support/database.ts';
import { withClient } from '../support/postgres-template.ts';
import { count, heavyBodies, idleConnections, type Outcomes, readNothing, sendHeavy } from './memory-load.ts';
import { MemoryMeter, residentMib } from './memory-meter.ts';

const HEAVY_CALLERS = 32;
const SLOW_READERS = 8;
const UNREAD_EACH = 8;
const SMALL_CALLERS = 4;
const IDLE_CONNECTIONS = 1_000;
/** A hundred maximal batches would be 3 GiB on disk. */
const EMPTY_EVERY_MS = 20_000;

/** docs/configuration.md: 192 MiB for the program itself, and three times the default of `--memory-budget`. */
export const MEMORY_BOUND_MIB = 192 + 3 * 256;

export interface SoakOptions {
  /** Longer where no maximal batch has got through by then. */
  readonly seconds: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly print: (line: string) => void;
}

export interface SoakReport {
  readonly idleMib: number;
  readonly largestMib: number;
  readonly slopeMibPerMinute: number;
  readonly heavy: Outcomes;
  readonly unread: Outcomes;
  readonly small: Outcomes;
  /** Milliseconds of small calls under load, in order. */
  readonly smallMs: readonly number[];
  /** The first small calls after the load. */
  readonly smallAfterMs: readonly number[];
  readonly afterMib: number;
}

/** A real server at full load, with everything at once that makes it hold memory. */
export async function soak(database: TestDatabase, options: SoakOptions): Promise<SoakReport> {
  const { databaseUrl } = database;
  const server = await startServerProcess({ databaseUrl, environment: options.environment ?? {} });
  try {
    const port = Number(server.address.slice(server.address.lastIndexOf(':') + 1));
    const small = await CarefulCaller.ofNewCluster(server, server.seed);
    const { clusterId } = await CarefulCaller.ofNewCluster(server, server.seed);
    // What slow readers leave unread is long.
    for (let i = 0; i < 10; i++) {
      await Promise.all(
        Array.from({ length: 100 }, (_, j) => small.anchor(server, leavesNamed(`${i}/${j}`))),
      );
    }
    const idleMib = await residentMib(server.pid);
    const bodies = heavyBodies(clusterId);

    const ending = new AbortController();
    const { signal } = ending;
    const outcomes = { heavy: new Map(), unread: new Map(), small: new Map() } satisfies Record<
      string,
      Outcomes
    >;
    const smallMs: number[] = [];
    const meter = new MemoryMeter(server.pid, ({ seconds, rssMib }) => {
      options.print(`${seconds.toFixed(0)} s ${rssMib.toFixed(0)} MiB`);
    });
    const endIdle = idleConnections(port, IDLE_CONNECTIONS);
    const callSmall = async (i: number) => {
      for (let n = 0; !signal.aborted; n++) {
        const startedAt = performance.now();
        const code = await small.anchor(server, leavesNamed(`small/${i}/${n}`)).then(
          () => 'OK',
          (error: Error) => error.message,
        );
        count(outcomes.small, code);
        if (code === 'OK') smallMs.push(performance.now() - startedAt);
        await delay(20);
      }
    };
    const emptying = async () => {
      while (!signal.aborted) {
        await delay(EMPTY_EVERY_MS, undefined, { signal }).catch(() => {});
        await forgetLeaves(database);
      }
    };
    const load = [
      ...Array.from({ length: HEAVY_CALLERS }, (_, i) =>
        sendHeavy(port, i % 2 === 0 ? bodies.packed : bodies.leaves, outcomes.heavy, signal),
      ),
      ...Array.from({ length: SLOW_READERS }, () =>
        readNothing(port, small.clusterId, UNREAD_EACH, outcomes.unread, signal),
      ),
      ...Array.from({ length: SMALL_CALLERS }, (_, i) => callSmall(i)),
      emptying(),
    ];
    await delay(options.seconds * 1_000);
    // On a machine with much else to do a maximal batch takes long.
    for (let s = 0; s < 2 * options.seconds && !outcomes.heavy.has('OK'); s++) await delay(1_000);
    meter.stop();
    ending.abort();
    await Promise.all(load);
    endIdle();
    const smallAfterMs: number[] = [];
    for (let n = 0; n < 20; n++) {
      const startedAt = performance.now();
      await small.anchor(server, leavesNamed(`after/${n}`));
      smallAfterMs.push(performance.now() - startedAt);
    }
    await delay(3_000);
    const afterMib = await residentMib(server.pid);
    return {
      idleMib,
      largestMib: meter.largestMib,
      slopeMibPerMinute: meter.slopeMibPerMinute,
      ...outcomes,
      smallMs: smallMs.sort((a, b) => a - b),
      smallAfterMs,
      afterMib,
    };
  } finally {
    await server.kill('SIGKILL');
  }
}

export function describeSoak(report: SoakReport): string {
  const { idleMib, largestMib, slopeMibPerMinute, afterMib, smallMs, smallAfterMs } = report;
  const text = (outcomes: Outcomes) => [...outcomes].map(([name, n]) => `${n} ${name}`).join(', ');
  const at = (share: number) => smallMs[Math.floor(share * (smallMs.length - 1))]?.toFixed(0);
  return [
    `resident: ${idleMib.toFixed(0)} MiB before, at most ${largestMib.toFixed(0)}, ${afterMib.toFixed(0)} after`,
    `slope over the second half: ${slopeMibPerMinute.toFixed(1)} MiB/min`,
    `maximal batches: ${text(report.heavy)}`,
    `answers left unread: ${text(report.unread)}`,
    `small calls: ${text(report.small)}; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, largest ${at(1)} ms`,
    `the first small calls after the load: at most ${Math.max(...smallAfterMs).toFixed(0)} ms`,
  ].join('\n');
}

/** Leaves are written and not read here; with the triggers that guard them off, which takes a superuser. */
async function forgetLeaves({ superuserUrl }: TestDatabase): Promise<void> {
  await withClient(superuserUrl, (client) =>
    client.query('SET session_replication_role = replica; TRUNCATE anchor_leaves'),
  );
}
