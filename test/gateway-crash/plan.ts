import type { FaultPoint } from '../../src/gateway/environment.ts';
import { Random } from '../chaos/random.ts';

export type OutboxKind = 'journal' | 'postgres' | 'memory';

/** Places of the application's own at which it dies, beside those of the gateway. */
export type ApplicationPoint =
  /** its row is inserted (and its leaf enqueued, with the Postgres outbox), and not committed */
  | 'event.inserted'
  /** committed; the journal does not have the leaf yet */
  | 'event.committed'
  /** `onAnchored` has written one more row of a batch */
  | 'row.anchored';

export type Point = FaultPoint | ApplicationPoint;

/** How the life of an application's process ends. */
export type End =
  /** SIGKILL, when it passes that point for the Nth time, or so long after its last event */
  | { readonly kind: 'point'; readonly point: Point; readonly passing: number; readonly patienceMs: number }
  /** SIGKILL, so long after it was ready */
  | { readonly kind: 'time'; readonly afterMs: number }
  /** SIGTERM, upon which it closes its gateway in order */
  | { readonly kind: 'close'; readonly afterMs: number };

export interface LifePlan {
  /** that it commits, if it lives to */
  readonly events: number;
  readonly end: End;
}

/** What is wrong with the notary, until the last life, in which nothing is. */
export type NotaryPlan =
  | { readonly kind: 'up' }
  /** not there for so many lives */
  | { readonly kind: 'down'; readonly lives: number }
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** SIGKILLed and started again, all the time */
  | { readonly kind: 'killed' }
  /** SIGKILLed after a commit and before its answer has left it, all the time */
  | { readonly kind: 'killed-after-commit' }
  /** accepts connections, and says nothing, now and then */
  | { readonly kind: 'silent' }
  /** takes smaller batches than the gateway sends: they are split */
  | { readonly kind: 'small' }
  /** does not know the cluster yet: batches are buried, and replayed in the end */
  | { readonly kind: 'unknown-cluster' };

export type NotaryKind = NotaryPlan['kind'];

export interface RunPlan {
  /** with which it can be made again */
  readonly name: string;
  readonly outbox: OutboxKind;
  readonly notary: NotaryPlan;
  readonly maxLeaves: number;
  readonly flushIntervalMs: number;
  readonly inFlight: number;
  /** of the journal; small ones are tidied up all the time */
  readonly segmentBytes: number;
  /** For each process of the application (several are replicas on one outbox): its lives, one after another. */
  readonly processes: readonly (readonly LifePlan[])[];
}

const GATEWAY_POINTS: readonly Point[] = [
  'batch.sealed',
  'call.sending',
  'call.answered',
  'answer.verified',
  'application.told',
  'batch.settled',
  'batch.split',
  'batch.buried',
];

/** Where an application with this outbox can die; one in memory does not survive that, and is not killed. */
export const POINTS: Readonly<Record<OutboxKind, readonly Point[]>> = {
  journal: ['event.inserted', 'event.committed', 'outbox.appended', ...GATEWAY_POINTS, 'row.anchored'],
  // The outbox writes the rows itself, in its own transaction.
  postgres: ['event.inserted', 'event.committed', ...GATEWAY_POINTS],
  memory: [],
};

const OF_AN_EVENT: ReadonlySet<Point> = new Set([
  'event.inserted',
  'event.committed',
  'outbox.appended',
  'row.anchored',
]);
const AFTER_AN_ANSWER: ReadonlySet<Point> = new Set([
  'call.answered',
  'answer.verified',
  'row.anchored',
  'application.told',
  'batch.settled',
]);
const NOTARIES: readonly NotaryKind[] = [
  'up',
  'down',
  'slow',
  'killed',
  'killed-after-commit',
  'silent',
  'small',
  'unknown-cluster',
];
/** An application that lives through it all meets those that come and go. */
const NOTARIES_OF_MEMORY: readonly NotaryKind[] = ['killed', 'killed-after-commit', 'silent'];

/** Whether an application comes to that point at all. */
function isReached(point: Point, notary: NotaryKind): boolean {
  if (point === 'batch.split') return notary === 'small';
  if (point === 'batch.buried') return notary === 'unknown-cluster';
  return !(AFTER_AN_ANSWER.has(point) && notary === 'unknown-cluster');
}

/** A row of runs of one outbox in which each point has its turn, with one notary after another; all else is chance. */
export function planRun(seed: string, outbox: OutboxKind, number: number): RunPlan {
  const name = `${seed}/${outbox}/${number}`;
  const random = new Random(name);
  const points = POINTS[outbox];
  const due = points[number % Math.max(1, points.length)];
  const notary = planNotary(random, outbox, due, number);
  const shape = {
    name,
    outbox,
    notary,
    maxLeaves: random.pick([3, 8, 50]),
    // Long enough that batches have several leaves where they are to be split.
    flushIntervalMs: notary.kind === 'small' ? 60 : random.pick([5, 20]),
    inFlight: random.chance(0.7) ? 1 : 3,
    segmentBytes: random.pick([2_048, 8 * 1_024 * 1_024]),
  };
  if (due === undefined) {
    const life: LifePlan = { events: random.between(150, 300), end: { kind: 'close', afterMs: 2_000 } };
    return { ...shape, processes: [[life]] };
  }
  const others = Array.from({ length: random.between(1, 3) }, () => planLife(random, points, notary.kind));
  // Last, when a notary that was down at first has come up.
  const lives = [...others, planDeath(random, due)];
  // The other one outlives each death of the first: it takes over what that had in hand. Of two rounds each point has one so.
  const hasReplica = outbox === 'postgres' && (number + roundOf(outbox, number)) % 2 === 1;
  const replica: LifePlan = { events: random.between(10, 40), end: { kind: 'close', afterMs: 2_500 } };
  return { ...shape, processes: hasReplica ? [lives, [replica]] : [lives] };
}

/** How often each point has had its turn before. */
function roundOf(outbox: OutboxKind, number: number): number {
  return Math.floor(number / Math.max(1, POINTS[outbox].length));
}

function planNotary(random: Random, outbox: OutboxKind, due: Point | undefined, number: number): NotaryPlan {
  const all = outbox === 'memory' ? NOTARIES_OF_MEMORY : NOTARIES;
  const fit = all.filter((each) => due === undefined || isReached(due, each));
  // In each round a point meets another one than in the round before.
  const kind = fit[(number + roundOf(outbox, number)) % fit.length] ?? 'up';
  if (kind === 'down') return { kind, lives: 1 };
  if (kind === 'slow') return { kind, delayMs: random.between(10, 80) };
  return { kind };
}

/** At the point whose turn it is. */
function planDeath(random: Random, point: Point): LifePlan {
  const events = random.between(8, 25);
  // Some of them are rolled back.
  const passing = OF_AN_EVENT.has(point) ? random.between(1, Math.floor(events / 2)) : 1;
  return { events, end: { kind: 'point', point, passing, patienceMs: 8_000 } };
}

function planLife(random: Random, points: readonly Point[], notary: NotaryKind): LifePlan {
  const events = random.between(1, 25);
  const chance = random.next();
  if (chance < 0.3) return { events, end: { kind: 'time', afterMs: random.between(0, 250) } };
  if (chance < 0.4) return { events, end: { kind: 'close', afterMs: random.between(0, 150) } };
  const point = random.pick(points.filter((each) => isReached(each, notary)));
  const passing = random.between(1, OF_AN_EVENT.has(point) ? events : 2);
  return { events, end: { kind: 'point', point, passing, patienceMs: 300 } };
}
