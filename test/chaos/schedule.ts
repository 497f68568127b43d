import type { Random } from './random.ts';

/** What is done to the servers, to their Postgres, and to the connections between them. */
export type Fault =
  /** SIGKILL, and started again. */
  | { readonly kind: 'kill'; readonly server: number; readonly downMs: number }
  /** SIGSTOP with appends in flight, and SIGCONT. */
  | { readonly kind: 'freeze'; readonly server: number; readonly ms: number }
  /** SIGTERM under load, which must end with exit code 0 in time, and started again. */
  | { readonly kind: 'terminate'; readonly server: number; readonly downMs: number }
  /** Immediate stop: Postgres replays its log afterwards. */
  | { readonly kind: 'crash-postgres'; readonly downMs: number }
  | { readonly kind: 'terminate-backends'; readonly ms: number }
  /** Others hold every connection that there is. */
  | { readonly kind: 'exhaust-connections'; readonly ms: number }
  /** No file of the database can grow. */
  | { readonly kind: 'fill-disk'; readonly ms: number }
  /** Another session holds the row of the hot cluster. */
  | { readonly kind: 'lock-cluster'; readonly ms: number }
  /** Connections to Postgres; a statement is one that commits: an append, or COMMIT. */
  | { readonly kind: 'cut-after-sending'; readonly server: number; readonly statements: number }
  | { readonly kind: 'cut-before-answer'; readonly server: number; readonly statements: number }
  /** Its answer, and all that follows, never comes, and nobody says so. */
  | { readonly kind: 'swallow-answer'; readonly server: number; readonly statements: number }
  | {
      readonly kind: 'delay-answer';
      readonly server: number;
      readonly statements: number;
      readonly ms: number;
    }
  /** The server's connection is cut, and what it sent still arrives, when nobody counts on it any more. */
  | {
      readonly kind: 'deliver-late';
      readonly server: number;
      readonly statements: number;
      readonly ms: number;
    }
  /** Neither direction moves, and nobody says so: every connection of the server that there is, and every new one. */
  | { readonly kind: 'black-hole'; readonly server: number; readonly ms: number };

export type FaultKind = Fault['kind'];

export interface Strike {
  /** Since the beginning. */
  readonly atMs: number;
  readonly fault: Fault;
}

/** Faults come in rounds: every kind in each of them, some more often than others. */
const ROUND: Readonly<Record<FaultKind, number>> = {
  kill: 3,
  freeze: 1,
  terminate: 2,
  'crash-postgres': 1,
  'terminate-backends': 2,
  'exhaust-connections': 1,
  'fill-disk': 1,
  'lock-cluster': 1,
  'cut-after-sending': 2,
  'cut-before-answer': 2,
  'swallow-answer': 1,
  'delay-answer': 1,
  'deliver-late': 2,
  'black-hole': 1,
};

export const FAULT_KINDS = Object.keys(ROUND) as readonly FaultKind[];
const FAULTS_A_ROUND = Object.values(ROUND).reduce((sum, count) => sum + count, 0);

export interface ScheduleOptions {
  readonly random: Random;
  readonly seconds: number;
  readonly servers: number;
  /** How long a frozen server stands still: longer than anybody's timeout. */
  readonly freezeMs: number;
}

/** What happens when, for as long as was asked; a round at least, however dense. */
export function makeSchedule(options: ScheduleOptions): readonly Strike[] {
  const { random, seconds } = options;
  const endMs = seconds * 1000;
  const meanGapMs = Math.min(2_000, endMs / FAULTS_A_ROUND);
  const strikes: Strike[] = [];
  /** By server. What is done to the connections of one that stands still has no effect. */
  const frozenUntilMs = Array<number>(options.servers).fill(0);
  for (let atMs = 0; atMs < endMs - meanGapMs; ) {
    const round = random.shuffled(FAULT_KINDS.flatMap((kind) => Array<FaultKind>(ROUND[kind]).fill(kind)));
    // The longest first, so that a short run does not have to wait for it.
    if (strikes.length === 0) round.unshift(...round.splice(round.indexOf('freeze'), 1));
    for (const kind of round) {
      if (atMs >= endMs && strikes.length >= FAULTS_A_ROUND) return strikes;
      const awake = frozenUntilMs.flatMap((untilMs, server) => (untilMs <= atMs ? [server] : []));
      const fault = makeFault(kind, random.pick(awake), options);
      if (fault.kind === 'freeze') frozenUntilMs[fault.server] = atMs + fault.ms;
      strikes.push({ atMs: Math.round(atMs), fault });
      atMs += meanGapMs * (0.3 + 1.4 * random.next());
    }
  }
  return strikes;
}

function makeFault(
  kind: FaultKind,
  server: number,
  { random, freezeMs }: Pick<ScheduleOptions, 'random' | 'freezeMs'>,
): Fault {
  switch (kind) {
    case 'kill':
    case 'terminate':
      return { kind, server, downMs: random.between(0, 1_500) };
    case 'freeze':
      return { kind, server, ms: freezeMs };
    case 'crash-postgres':
      return { kind, downMs: random.between(0, 2_000) };
    case 'terminate-backends':
    case 'exhaust-connections':
    case 'fill-disk':
      return { kind, ms: random.between(1_000, 3_000) };
    case 'lock-cluster':
      return { kind, ms: random.between(1_000, 4_000) };
    case 'cut-after-sending':
    case 'cut-before-answer':
      return { kind, server, statements: random.between(1, 6) };
    case 'swallow-answer':
      return { kind, server, statements: random.between(1, 3) };
    case 'delay-answer':
      return { kind, server, statements: random.between(1, 6), ms: random.between(100, 1_500) };
    case 'deliver-late':
      return { kind, server, statements: random.between(1, 4), ms: random.between(50, 3_000) };
    case 'black-hole':
      return { kind, server, ms: random.between(1_000, 4_000) };
  }
}

/** For people: `kill: server 1, downMs 250`. */
export function describeFault({ kind, ...details }: Fault): string {
  const shown = Object.entries(details).map(([name, value]) => `${name} ${value}`);
  return `${kind}: ${shown.join(', ')}`;
}
