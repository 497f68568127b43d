import type { EventRow, Evidence } from './evidence.ts';
import type { ReportLine } from './report.ts';

export type Rule =
  | 'each committed event is in one anchor, at one place'
  | 'nothing is anchored that was not committed'
  | 'audit_events says where'
  | 'the receipt verifies'
  | 'one request_id, one anchor'
  | 'the log keeps the order of submission'
  | 'what the application was told is true'
  | 'the outbox keeps what it has taken'
  | 'no more than the last event of a life has to be submitted again'
  | 'nothing is left, and nobody had to help'
  | 'submit does not wait for the notary'
  | 'the run came to its end';

export interface Finding {
  readonly rule: Rule;
  readonly what: string;
}

/** Believes neither the gateway nor its application. @returns what is wrong, nothing where everything is right */
export function judge(evidence: Evidence): readonly Finding[] {
  const places = placesOf(evidence);
  return [
    ...judgeEvents(evidence, places),
    ...judgeStrangers(evidence),
    ...judgeRequestIds(evidence),
    ...judgeOrder(evidence, places),
    ...judgeTold(evidence, places),
    ...judgeWindow(evidence),
    ...judgeEnds(evidence),
  ];
}

interface Place {
  readonly anchorId: string;
  readonly leafIndex: number;
  readonly logIndex: number;
}

type Places = ReadonlyMap<string, readonly Place[]>;

function finding(rule: Rule, what: string): Finding {
  return { rule, what };
}

/** Where each leaf is in the notary's log, by hex. */
function placesOf({ log }: Evidence): Places {
  const places = new Map<string, Place[]>();
  for (const { anchorId, logIndex, leaves } of log) {
    for (const [leafIndex, leaf] of leaves.entries()) {
      const place = { anchorId, leafIndex, logIndex };
      const known = places.get(leaf);
      if (known === undefined) places.set(leaf, [place]);
      else known.push(place);
    }
  }
  return places;
}

function judgeEvents({ rows }: Evidence, places: Places): Finding[] {
  return rows.flatMap(({ eventId, leaf, notarized, anchorId, leafIndex, refusal }) => {
    const own = places.get(leaf) ?? [];
    const [place] = own;
    if (place === undefined || own.length !== 1) {
      const where = own.map((each) => `${each.anchorId}/${each.leafIndex}`).join(', ');
      return [
        finding(
          'each committed event is in one anchor, at one place',
          `${eventId} is in ${own.length}: ${where}`,
        ),
      ];
    }
    if (!notarized || anchorId !== place.anchorId || leafIndex !== place.leafIndex) {
      const said = `${notarized} ${anchorId}/${leafIndex}`;
      return [
        finding(
          'audit_events says where',
          `${eventId} is at ${place.anchorId}/${place.leafIndex}, not ${said}`,
        ),
      ];
    }
    return refusal === undefined ? [] : [finding('the receipt verifies', `${eventId}: ${refusal}`)];
  });
}

/** Rolled back, or never heard of. */
function judgeStrangers({ rows, log, report }: Evidence): Finding[] {
  const committed = new Set(rows.map(({ leaf }) => leaf));
  const begun = new Map(linesOf(report, 'began').map(({ leaf, eventId }) => [leaf, eventId]));
  return log.flatMap(({ anchorId, leaves }) =>
    leaves
      .filter((leaf) => !committed.has(leaf))
      .map((leaf) =>
        finding(
          'nothing is anchored that was not committed',
          `${anchorId} has ${begun.get(leaf) ?? 'a leaf of nobody'}`,
        ),
      ),
  );
}

function judgeRequestIds({ log }: Evidence): Finding[] {
  const seen = new Set<string>();
  return log.flatMap(({ requestId, logIndex }) => {
    if (requestId !== '' && !seen.has(requestId)) {
      seen.add(requestId);
      return [];
    }
    return [finding('one request_id, one anchor', `entry ${logIndex} has ${requestId || 'none'} again`)];
  });
}

/**
 * With one batch in flight the log has the events in the order of their commits. Exceptions, as documented: in the Postgres
 * outbox the batch that a dead process had in hand waits for its lease, and others go ahead; with replicas there is no order
 * but within a batch, among the events of one process; dead letters come when they are replayed.
 */
function judgeOrder({ plan, rows, log, report }: Evidence, places: Places): Finding[] {
  const rule = 'the log keeps the order of submission';
  const numbers = new Map(rows.map(({ leaf }, number) => [leaf, number]));
  const hasReplicas = plan.processes.length > 1;
  const writers = new Map(linesOf(report, 'began').map(({ leaf, pid }) => [leaf, hasReplicas ? pid : 0]));
  const inBatch = log.flatMap(({ anchorId, leaves }) => {
    const ofOne = Map.groupBy(leaves, (leaf) => writers.get(leaf) ?? 0);
    return [...ofOne.values()].every((own) => isAscending(own.map((leaf) => numbers.get(leaf) ?? -1)))
      ? []
      : [finding(rule, `within ${anchorId}`)];
  });
  const isTotal =
    plan.inFlight === 1 &&
    !hasReplicas &&
    plan.outbox !== 'postgres' &&
    plan.notary.kind !== 'unknown-cluster';
  if (!isTotal) return inBatch;
  const positions = rows.map(({ leaf }) => places.get(leaf)?.[0]?.logIndex ?? -1);
  const wrong = positions.findIndex((position, i) => i > 0 && position < (positions[i - 1] ?? 0));
  return wrong === -1
    ? inBatch
    : [...inBatch, finding(rule, `${rows[wrong]?.eventId} is before the one before it`)];
}

function isAscending(numbers: readonly number[]): boolean {
  return numbers.every((number, i) => i === 0 || number > (numbers[i - 1] ?? 0));
}

function judgeTold({ rows, report }: Evidence, places: Places): Finding[] {
  const rule = 'what the application was told is true';
  const leafOf = new Map(rows.map(({ eventId, leaf }: EventRow) => [eventId, leaf]));
  return [...linesOf(report, 'told'), ...linesOf(report, 'resolved')].flatMap((line) => {
    const { type, eventId, anchorId, leafIndex } = line;
    const place = places.get(leafOf.get(eventId) ?? '')?.[0];
    return place?.anchorId === anchorId && place.leafIndex === leafIndex
      ? []
      : [finding(rule, `${type}: ${eventId} is at ${anchorId}/${leafIndex}`)];
  });
}

/**
 * The window of an outbox that is not in the database of the events: the row is committed, and the leaf is not in the journal
 * yet. The application submits one event after another, so that it is one event wide. What the outbox had taken is never in it.
 */
function judgeWindow({ plan, report, lives }: Evidence): Finding[] {
  const taken = new Set<string>();
  const lost: string[] = [];
  const again = new Set<string>();
  for (const line of report) {
    if (line.type === 'taken') taken.add(line.eventId);
    if (line.type !== 'submitted-again') continue;
    again.add(line.eventId);
    if (taken.has(line.eventId)) lost.push(line.eventId);
  }
  const most = plan.outbox === 'journal' ? lives.length : 0;
  return [
    ...lost.map((eventId) =>
      finding('the outbox keeps what it has taken', `${eventId} was not there at the next start`),
    ),
    ...(again.size <= most
      ? []
      : [
          finding(
            'no more than the last event of a life has to be submitted again',
            `${again.size} in ${lives.length} lives`,
          ),
        ]),
  ];
}

function judgeEnds({ plan, report, lives, last }: Evidence): Finding[] {
  const rule = 'nothing is left, and nobody had to help';
  const left = linesOf(report, 'closed').at(-1)?.left;
  return [
    ...lives.flatMap(({ code, signal, wasStuck, output }) =>
      wasStuck || (signal !== 'SIGKILL' && code !== 0)
        ? [finding(rule, `a life ended with ${wasStuck ? 'force' : (signal ?? code)}: ${output}`)]
        : [],
    ),
    ...(last.code === 0
      ? []
      : [finding(rule, `the last life ended with ${last.signal ?? last.code}: ${last.output}`)]),
    ...(left === 0 ? [] : [finding(rule, `${left} leaves are left`)]),
    ...linesOf(report, 'unanchored').map(({ eventId, state }) => finding(rule, `${eventId} is ${state}`)),
    ...linesOf(report, 'alarm').map(({ code, message }) => finding(rule, `alarm ${code}: ${message}`)),
    ...(plan.notary.kind === 'unknown-cluster'
      ? []
      : linesOf(report, 'buried').map(({ status }) => finding(rule, `a dead letter: ${status}`))),
    ...linesOf(report, 'slow-submit').map(({ ms }) =>
      finding('submit does not wait for the notary', `${Math.round(ms)} ms`),
    ),
  ];
}

function linesOf<T extends ReportLine['type']>(
  report: readonly ReportLine[],
  type: T,
): Extract<ReportLine, { type: T }>[] {
  return report.filter((line): line is Extract<ReportLine, { type: T }> => line.type === type);
}
