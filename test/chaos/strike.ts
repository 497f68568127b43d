import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { eventually } from '../support/postgres-waits.ts';
import { type Arena, SERVERS } from './arena.ts';
import type { Trick } from './cutting-proxy.ts';
import type { Fault } from './schedule.ts';

/** A trick that is left over by then is taken back. */
const ARMED_MS = 4_000;
/** What has not taken effect at all waits longer. */
const UNMET_MS = 15_000;
/** By then every server is likely to have an append in flight, unless it has other troubles. */
const GATHER_MS = 1_000;
const NO_SPACE = 'No space left on device';
/** An append, or the locking of the cluster's row before one. */
const APPEND_WAITS = `SELECT FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'quartermaster' AND wait_event_type = 'Lock'`;

/** Does a fault, for as long as it takes to have an effect, and undoes it. @returns how often it took effect */
export async function strike(arena: Arena, fault: Fault, print: (line: string) => void): Promise<number> {
  switch (fault.kind) {
    case 'kill': {
      const server = arena.servers[fault.server]!;
      await server.kill();
      await delay(fault.downMs);
      await server.startAgain();
      return 1;
    }
    case 'terminate': {
      const server = arena.servers[fault.server]!;
      const ms = await server.terminate();
      print(`server ${server.index} ended ${Math.round(ms)} ms after SIGTERM`);
      await delay(fault.downMs);
      await server.startAgain();
      return 1;
    }
    case 'freeze':
      return await freeze(arena, fault.server, fault.ms);
    case 'crash-postgres':
      return await crashPostgres(arena, fault.downMs);
    case 'terminate-backends':
      return await terminateBackends(arena, fault.ms);
    case 'exhaust-connections':
      return await exhaustConnections(arena, fault.ms);
    case 'fill-disk':
      return await fillDisk(arena, fault.ms);
    case 'lock-cluster':
      return await whileLocked(arena, async (appendsWait) => {
        await delay(fault.ms);
        return await eventually(async () => (await appendsWait()) || undefined);
      });
    case 'black-hole': {
      const proxy = arena.proxies[fault.server]!;
      const before = proxy.swallowed;
      proxy.blackHole();
      try {
        await delay(fault.ms);
        return await eventually(async () => proxy.swallowed - before || undefined);
      } finally {
        proxy.liftBlackHole();
      }
    }
    case 'cut-after-sending':
    case 'cut-before-answer':
    case 'swallow-answer':
      return await playTrick(arena, fault.server, { kind: fault.kind }, fault.statements);
    case 'delay-answer':
    case 'deliver-late':
      return await playTrick(arena, fault.server, { kind: fault.kind, ms: fault.ms }, fault.statements);
  }
}

/** With appends in flight, that go on in Postgres while the server stands still. */
async function freeze(arena: Arena, index: number, ms: number): Promise<number> {
  const server = arena.servers[index]!;
  const stopWithAppends = () =>
    whileLocked(arena, async (appendsWait) => {
      const giveUpAt = performance.now() + GATHER_MS;
      while ((await appendsWait()) < SERVERS && performance.now() < giveUpAt) await delay(10);
      server.signal('SIGSTOP');
      return await appendsWait();
    });
  // Postgres may be away just now.
  const waiting = await eventually(async () => (await stopWithAppends().catch(() => 0)) || undefined);
  await delay(ms);
  server.signal('SIGCONT');
  return waiting;
}

async function crashPostgres({ postgres, proxies }: Arena, downMs: number): Promise<number> {
  await postgres.crash();
  await delay(downMs);
  await postgres.startAgain();
  for (const proxy of proxies) proxy.target = postgres.port;
  return 1;
}

/** All at once, and one by one. */
async function terminateBackends({ postgres }: Arena, ms: number): Promise<number> {
  const first = await eventually(async () => (await postgres.terminateBackends(1_000)) || undefined);
  let others = 0;
  for (const end = performance.now() + ms; performance.now() < end; ) {
    others += await postgres.terminateBackends(1);
    await delay(50);
  }
  return first + others;
}

/** Takes every connection, also those that servers had, and gives them back in the end. */
async function exhaustConnections({ postgres }: Arena, ms: number): Promise<number> {
  const held: pg.Client[] = [];
  const url = new URL(postgres.database.databaseUrl);
  url.port = String(postgres.port);
  const takeAll = async () => {
    for (;;) {
      const client = new pg.Client({ connectionString: url.href, application_name: 'occupier' });
      client.on('error', () => {});
      try {
        await client.connect();
      } catch {
        return;
      }
      held.push(client);
    }
  };
  let terminated = 0;
  try {
    const startedAt = performance.now();
    const isOver = () => performance.now() > startedAt + (terminated === 0 ? UNMET_MS : ms);
    while (!isOver()) {
      await takeAll();
      terminated += await postgres.terminateBackends(1_000);
    }
  } finally {
    await Promise.all(held.map((client) => client.end()));
  }
  return terminated;
}

async function fillDisk({ postgres }: Arena, ms: number): Promise<number> {
  const { disk } = postgres;
  if (disk === undefined) return 0;
  const before = await postgres.countInLog(NO_SPACE);
  await disk.fill();
  try {
    await delay(ms);
    return await eventually(async () => (await postgres.countInLog(NO_SPACE)) - before || undefined);
  } finally {
    await disk.makeRoom();
  }
}

/** Another session holds the hot cluster's row; `appendsWait` resolves to how many appends wait for a lock. */
async function whileLocked(
  { postgres, hotClusterId }: Arena,
  work: (appendsWait: () => Promise<number>) => Promise<number>,
): Promise<number> {
  return await postgres.asSuperuser(async (client) => {
    await client.query('BEGIN');
    await client.query('SELECT FROM clusters WHERE cluster_id = $1 FOR UPDATE', [hotClusterId]);
    const appendsWait = async () => (await client.query(APPEND_WAITS)).rowCount ?? 0;
    const result = await work(appendsWait);
    await client.query('COMMIT');
    return result;
  });
}

async function playTrick(
  { proxies }: Arena,
  server: number,
  trick: Trick,
  statements: number,
): Promise<number> {
  const proxy = proxies[server]!;
  const before = proxy.played;
  proxy.arm(trick, statements);
  const armedAt = performance.now();
  const patienceMs = () => (proxy.played === before ? UNMET_MS : ARMED_MS);
  while (proxy.played < before + statements && performance.now() < armedAt + patienceMs()) await delay(20);
  proxy.disarm();
  return proxy.played - before;
}
