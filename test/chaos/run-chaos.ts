import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Arena, SERVERS } from './arena.ts';
import { CallLog } from './call-log.ts';
import { ChaosClient, type Habits } from './chaos-client.ts';
import { checkEvidence, type Finding } from './check-evidence.ts';
import { CALLS_FILE, type Evidence, gatherEvidence } from './evidence.ts';
import { Random } from './random.ts';
import { describeFault, type Fault, type FaultKind, makeSchedule, type Strike } from './schedule.ts';
import { strike } from './strike.ts';

const CLIENTS = 16;
/** Longer than a caller is made to wait, than any timeout of the database's role, and than clients' deadlines. */
const FREEZE_MS = 12_000;
/** Answers for each client before the first fault. */
const WARM_UP = 5;
const WARM_UP_MS = 60_000;
/** From the end of the last fault on: what a server needs to give up whatever hangs, and then some. */
const SETTLE_MS = 40_000;

export interface ChaosOptions {
  /** Decides the schedule, and what clients choose; how processes are scheduled it cannot. */
  readonly seed: string;
  /** How long faults are begun. */
  readonly seconds: number;
  readonly print: (line: string) => void;
}

export interface ChaosReport {
  readonly findings: readonly Finding[];
  /** How often each kind of fault took effect. */
  readonly effects: ReadonlyMap<FaultKind, number>;
  /** Faults that could not be done. */
  readonly broken: readonly string[];
  /** Ends of servers that broke a promise. */
  readonly badEnds: readonly string[];
  readonly answered: number;
  readonly settledMs: number;
  /** Whether this process can make a disk full. */
  readonly hasDisk: boolean;
}

export function isRight({ findings, badEnds, broken }: ChaosReport): boolean {
  return findings.length + badEnds.length + broken.length === 0;
}

/** Runs a schedule of faults under load, then judges by what was written down. */
export async function runChaos({ seed, seconds, print }: ChaosOptions): Promise<ChaosReport> {
  const random = new Random(seed);
  const schedule = makeSchedule({
    random: random.fork('schedule'),
    seconds,
    servers: SERVERS,
    freezeMs: FREEZE_MS,
  });
  const toReplay = `to replay: QM_CHAOS_SEED=${seed} QM_CHAOS_SECONDS=${seconds} npm run test:chaos -- chaos/chaos`;
  print(toReplay);
  for (const { atMs, fault } of schedule) print(`at ${seconds1(atMs)} s  ${describeFault(fault)}`);
  const directory = await mkdtemp(join(tmpdir(), 'quartermaster-chaos-'));
  const arena = await Arena.open(directory, new Uint8Array(randomBytes(32)));
  const log = new CallLog(join(directory, CALLS_FILE));
  try {
    const clients = startClients(arena, random, log);
    const isWarm = await within(
      WARM_UP_MS,
      clients.map((client) => client.whenAnswered(WARM_UP)),
    );
    const struck = isWarm
      ? await play(arena, schedule, print)
      : { effects: new Map(), broken: [`there were too few answers in ${WARM_UP_MS} ms without a fault`] };
    const settledMs = await settle(clients);
    const evidence = await arena.postgres.asSuperuser((client) =>
      gatherEvidence({ directory, client, databaseUrl: directUrl(arena), seed: arena.seed }),
    );
    const findings = checkEvidence(evidence);
    const badEnds = arena.servers.flatMap((server) => server.badEnds);
    const report = {
      ...struck,
      findings,
      badEnds,
      answered: evidence.calls.filter(({ type }) => type === 'answered').length,
      settledMs,
      hasDisk: arena.postgres.disk !== undefined,
    };
    printReport(report, evidence, print);
    if (isRight(report)) await rm(directory, { recursive: true });
    else print(`the logs are kept in ${directory}\n${toReplay}`);
    return report;
  } finally {
    log.close();
    await arena.close();
  }
}

function startClients({ servers, callers }: Arena, random: Random, log: CallLog): ChaosClient[] {
  const addresses = servers.map(({ address }) => address);
  const clients = Array.from({ length: CLIENTS }, (_, i) => {
    const name = `client-${i}`;
    return new ChaosClient({ name, random: random.fork(name), habits: habitsOf(i), addresses, callers, log });
  });
  for (const client of clients) client.start();
  return clients;
}

const DEADLINES_MS = [2_500, 1_000, undefined, 1_000, 2_500];

/** So that they meet in many combinations. */
function habitsOf(index: number): Habits {
  return {
    usesRequestIds: index % 4 !== 3,
    carriesCheckpoint: index % 2 === 0,
    deadlineMs: DEADLINES_MS[index % DEADLINES_MS.length],
    dropsChannel: index % 3 === 0,
    hotShare: index < CLIENTS / 2 ? 0.8 : 0.1,
  };
}

/** At their times, but one thing is struck by one fault at a time: what comes meanwhile waits. */
async function play(
  arena: Arena,
  schedule: readonly Strike[],
  print: (line: string) => void,
): Promise<Pick<ChaosReport, 'effects' | 'broken'>> {
  const effects = new Map<FaultKind, number>();
  const broken: string[] = [];
  const busy = new Map<string, Promise<void>>();
  const startedAt = performance.now();
  const now = () => performance.now() - startedAt;
  for (const { atMs, fault } of schedule) {
    await delay(Math.max(0, atMs - now()));
    const target = targetOf(fault);
    const before = busy.get(target) ?? Promise.resolve();
    const after = before.then(async () => {
      const beganMs = now();
      try {
        const count = await strike(arena, fault, print);
        const times = `${seconds1(beganMs)} to ${seconds1(now())} s`;
        print(`${times}  ${describeFault(fault)}: took effect ${count} times`);
        effects.set(fault.kind, (effects.get(fault.kind) ?? 0) + count);
      } catch (error) {
        broken.push(`${fault.kind}: ${(error as Error).message}`);
      }
    });
    busy.set(target, after);
  }
  await Promise.all(busy.values());
  print(`${seconds1(now())} s  the last fault is over`);
  return { effects, broken };
}

function targetOf(fault: Fault): string {
  switch (fault.kind) {
    case 'kill':
    case 'freeze':
    case 'terminate':
      return `server ${fault.server}`;
    case 'crash-postgres':
    case 'terminate-backends':
    case 'exhaust-connections':
    case 'fill-disk':
    case 'lock-cluster':
      return 'postgres';
    default:
      return `connections ${fault.server}`;
  }
}

/** Everything is whole again: what clients still want must be answered. @returns how long that took */
async function settle(clients: readonly ChaosClient[]): Promise<number> {
  const startedAt = performance.now();
  await within(
    SETTLE_MS,
    clients.map((client) => client.finish()),
  );
  const settledMs = performance.now() - startedAt;
  await Promise.all(clients.map((client) => client.giveUp()));
  return settledMs;
}

/** Whether all came to an end by then. */
async function within(timeoutMs: number, work: readonly Promise<unknown>[]): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(timeoutMs, false, { signal: timer.signal }).catch(() => false);
  const result = await Promise.race([Promise.all(work).then(() => true), late]);
  timer.abort();
  return result;
}

function directUrl({ postgres }: Arena): string {
  const url = new URL(postgres.database.databaseUrl);
  url.port = String(postgres.port);
  return url.href;
}

function printReport(
  report: ChaosReport,
  { calls, signatures, clusters }: Evidence,
  print: (line: string) => void,
): void {
  const failed = new Map<string, number>();
  for (const line of calls) {
    if (line.type !== 'failed') continue;
    const name = `${line.code}${line.reason === '' ? '' : ` ${line.reason}`}`;
    failed.set(name, (failed.get(name) ?? 0) + 1);
  }
  const entries = clusters.reduce((sum, cluster) => sum + cluster.entries.length, 0);
  print(`took effect: ${[...report.effects].map(([kind, count]) => `${kind} ${count}`).join(', ')}`);
  if (!report.hasDisk) print('no disk was made full: this process may not mount one');
  const proved = calls.filter(({ type }) => type === 'proved').length;
  print(`answered ${report.answered}, proved ${proved}, anchored ${entries}, signed ${signatures.length}`);
  print(`failed: ${[...failed].map(([name, count]) => `${name} ${count}`).join(', ')}`);
  print(`everything was answered ${seconds1(report.settledMs)} s after the last fault`);
  for (const line of report.broken) print(`could not be done: ${line}`);
  for (const line of report.badEnds) print(`WRONG: ${line}`);
  for (const { rule, what } of report.findings.slice(0, 50)) print(`WRONG: not so: ${rule}: ${what}`);
  if (report.findings.length > 50) print(`and ${report.findings.length - 50} more`);
}

function seconds1(ms: number): string {
  return (ms / 1000).toFixed(1);
}
