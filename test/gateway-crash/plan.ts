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
  /** SIGKILL, when it passes that point for the Nth time */
  | { readonly kind: 'point'; readonly point: Point; readonly passing: number }
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
  readonly inFlight: number;
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
/** What must be wrong for a point to be reached at all. */
const NEEDED: Partial<Record<Point, NotaryKind>> = {
  'batch.split': 'small',
  'batch.buried': 'unknown-cluster',
};
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

/** Every number of a row of runs has each point in turn as the first death; all else is chance. */
export function planRun(seed: string, outbox: OutboxKind, number: number): RunPlan {
  const name = `${seed}/${outbox}/${number}`;
  const random = new Random(name);
  const points = POINTS[outbox];
  const first = points[number % Math.max(1, points.length)];
  const notary = planNotary(random, outbox, first, number);
  const shape = {
    name,
    outbox,
    notary,
    maxLeaves: random.pick([3, 8, 50]),
    inFlight: random.chance(0.7) ? 1 : 3,
  };
  if (first === undefined) {
    const life: LifePlan = { events: random.between(150, 300), end: { kind: 'close', afterMs: 3_000 } };
    return { ...shape, processes: [[life]] };
  }
  const lives = random.between(2, 4);
  const mine = Array.from({ length: lives }, (_, life) =>
    planLife(random, points, notary, life === 0 ? first : undefined),
  );
  // The other one outlives each death of the first: it takes over what that had in hand.
  const hasReplica = outbox === 'postgres' && random.chance(0.5);
  const others = hasReplica
    ? [[{ events: random.between(10, 40), end: { kind: 'close', afterMs: 4_000 } } as const]]
    : [];
  return { ...shape, processes: [mine, ...others] };
}

function planNotary(
  random: Random,
  outbox: OutboxKind,
  first: Point | undefined,
  number: number,
): NotaryPlan {
  const kinds = outbox === 'memory' ? NOTARIES_OF_MEMORY : NOTARIES;
  // Two rows that do not go in step meet in all combinations.
  const inTurn =
    kinds[(number + Math.floor(number / Math.max(1, POINTS[outbox].length))) % kinds.length] ?? 'up';
  const kind = (first === undefined ? undefined : NEEDED[first]) ?? inTurn;
  if (kind === 'down') return { kind, lives: random.between(1, 3) };
  if (kind === 'slow') return { kind, delayMs: random.between(10, 80) };
  return { kind };
}

function planLife(
  random: Random,
  points: readonly Point[],
  notary: NotaryPlan,
  point: Point | undefined,
): LifePlan {
  const events = random.between(1, 25);
  const kind = random.next();
  if (point === undefined && kind < 0.3)
    return { events, end: { kind: 'time', afterMs: random.between(0, 250) } };
  if (point === undefined && kind < 0.4)
    return { events, end: { kind: 'close', afterMs: random.between(0, 150) } };
  const reachable = points.filter((each) => NEEDED[each] === undefined || NEEDED[each] === notary.kind);
  const chosen = point ?? random.pick(reachable);
  const passing = random.between(1, OF_AN_EVENT.has(chosen) ? Math.max(1, events - 1) : 2);
  return { events, end: { kind: 'point', point: chosen, passing } };
}
