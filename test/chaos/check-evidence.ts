import type { AnsweredLine, FailedLine, SentLine } from './call-log.ts';
import type { Evidence, StoredCluster, StoredEntry } from './evidence.ts';
import { rootsOf } from './log-roots.ts';

export type Rule =
  | 'every answered anchor is there once, with the answered index'
  | 'no request_id has two anchors'
  | 'log_index has no gaps'
  | 'checkpoints are consistent with one another'
  | 'only committed heads are signed'
  | 'created_at never goes back'
  | 'every retry gets the first answer'
  | 'an anchor is made by one call'
  | 'the log keeps the order of the calls'
  | 'nothing is anchored that nobody sent'
  | 'every answer verifies'
  | 'errors are those that a fault explains'
  | 'everything is answered in the end'
  | 'no log is refused anchors in the end'
  | 'fsck finds nothing wrong';

export interface Finding {
  readonly rule: Rule;
  readonly what: string;
}

type Answer = AnsweredLine & { readonly sent: SentLine };

/** Codes of errors that ask for another attempt. */
const PASSING = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'RESOURCE_EXHAUSTED']);

/** Judges a run. @returns what is wrong, nothing where everything is right */
export function checkEvidence(evidence: Evidence): readonly Finding[] {
  const sent = new Map(evidence.calls.flatMap((line) => (line.type === 'sent' ? [[line.call, line]] : [])));
  const answers = evidence.calls.flatMap((line): Answer[] => {
    const call = line.type === 'answered' ? sent.get(line.call) : undefined;
    return line.type === 'answered' && call !== undefined ? [{ ...line, sent: call }] : [];
  });
  return [
    ...evidence.clusters.flatMap((cluster) => {
      const ofCluster = answers.filter((answer) => answer.sent.clusterId === cluster.clusterId);
      return [
        ...checkAnswered(cluster, ofCluster),
        ...checkRequestIds(cluster),
        ...checkIndexes(cluster),
        ...checkCheckpoints(cluster, ofCluster, evidence),
        ...checkTimes(cluster),
        ...checkRetries(ofCluster),
        ...checkOrder(ofCluster),
        ...checkSent(cluster, [...sent.values()]),
      ];
    }),
    ...checkCalls(evidence, answers),
    ...evidence.clusters
      .filter(({ state }) => state !== 'active')
      .map(({ clusterId, state }) =>
        finding('no log is refused anchors in the end', `cluster ${clusterId} is ${state}`),
      ),
    ...(evidence.fsck.ok ? [] : [finding('fsck finds nothing wrong', evidence.fsck.output)]),
  ];
}

function finding(rule: Rule, what: string): Finding {
  return { rule, what };
}

function checkAnswered({ entries }: StoredCluster, answers: readonly Answer[]): Finding[] {
  const rule = 'every answered anchor is there once, with the answered index';
  const byIndex = new Map(entries.map((entry) => [entry.logIndex, entry]));
  const byAnchorId = groupBy(entries, ({ anchorId }) => anchorId);
  return answers.flatMap(({ call, anchorId, logIndex, record }) => {
    const entry = byIndex.get(logIndex);
    const count = byAnchorId.get(anchorId)?.length ?? 0;
    if (entry === undefined) return [finding(rule, `${call}: the log has no entry ${logIndex}`)];
    if (entry.anchorId !== anchorId || entry.record !== record)
      return [finding(rule, `${call}: entry ${logIndex} is another one than anchor ${anchorId}`)];
    return count === 1 ? [] : [finding(rule, `${call}: anchor ${anchorId} is there ${count} times`)];
  });
}

function checkRequestIds({ entries }: StoredCluster): Finding[] {
  // By the records, which are what was signed; a column could be made unique by leaving it out.
  return [...groupBy(entries, (entry) => fieldOf(entry, 'request_id')).entries()].flatMap(
    ([requestId, own]) =>
      requestId === undefined || own.length === 1
        ? []
        : [
            finding(
              'no request_id has two anchors',
              `${requestId} has entries ${own.map(({ logIndex }) => logIndex)}`,
            ),
          ],
  );
}

function checkIndexes({ clusterId, entries, heads }: StoredCluster): Finding[] {
  const rule = 'log_index has no gaps';
  const wrong = entries.findIndex(({ logIndex }, i) => logIndex !== i);
  if (wrong !== -1)
    return [finding(rule, `cluster ${clusterId} has ${entries[wrong]!.logIndex} in place ${wrong}`)];
  const size = heads.at(-1)?.size;
  return size === entries.length
    ? []
    : [finding(rule, `cluster ${clusterId} has ${entries.length} entries and a head of size ${size}`)];
}

/** One tree: who is consistent with it is consistent with everybody else who is. */
function checkCheckpoints(
  { origin, heads, entries }: StoredCluster,
  answers: readonly Answer[],
  { calls, signatures }: Evidence,
): Finding[] {
  const roots = rootsOf(entries.map(({ record }) => Buffer.from(record, 'base64')));
  const committed = new Map(heads.map(({ size, root }) => [size, root]));
  const told = [
    ...answers.map(({ call, checkpoint }) => ({ where: `handed to ${call}`, text: checkpoint })),
    ...calls.flatMap((line) =>
      line.type === 'proved' ? [{ where: `proved to ${line.call}`, text: line.checkpoint }] : [],
    ),
    ...signatures.map(({ pid, noteText }) => ({ where: `signed by ${pid}`, text: noteText })),
  ];
  const findings: Finding[] = [];
  const rootBySize = new Map<number, string>();
  for (const { where, text } of told) {
    const checkpoint = parseCheckpointLines(text);
    if (checkpoint.origin !== origin) continue;
    const { size, root } = checkpoint;
    const other = rootBySize.get(size);
    rootBySize.set(size, other ?? root);
    const rule = 'checkpoints are consistent with one another';
    if (other !== undefined && other !== root)
      findings.push(finding(rule, `${where}: size ${size} of ${origin} has the roots ${other} and ${root}`));
    else if (roots[size] !== root)
      findings.push(finding(rule, `${where}: root ${root} of size ${size} is not that of the log ${origin}`));
    if (committed.get(size) !== root)
      findings.push(
        finding(
          'only committed heads are signed',
          `${where}: size ${size} of ${origin} is no committed head`,
        ),
      );
  }
  return findings;
}

function checkTimes({ clusterId, entries }: StoredCluster): Finding[] {
  const times = entries.map((entry) => Date.parse(fieldOf(entry, 'created_at') ?? ''));
  return times.flatMap((time, i) =>
    i === 0 || time >= times[i - 1]!
      ? []
      : [finding('created_at never goes back', `entry ${i} of ${clusterId} is older than the one before it`)],
  );
}

function checkRetries(answers: readonly Answer[]): Finding[] {
  const withIds = answers.filter(({ sent }) => sent.requestId !== null);
  return [...groupBy(withIds, ({ sent }) => sent.requestId).values()].flatMap((own) => {
    const [first] = own;
    const others = own.filter(
      ({ anchorId, logIndex, record }) =>
        anchorId !== first?.anchorId || logIndex !== first.logIndex || record !== first.record,
    );
    const makers = own.filter(({ replayed }) => !replayed);
    return [
      ...others.map(({ call }) =>
        finding('every retry gets the first answer', `${call} got another anchor than ${first?.call}`),
      ),
      ...(makers.length <= 1
        ? []
        : [
            finding(
              'an anchor is made by one call',
              `${makers.map(({ call }) => call)} all got "not replayed"`,
            ),
          ]),
    ];
  });
}

/** A call that made its anchor is in the log behind everything that was answered before it was sent. */
function checkOrder(answers: readonly Answer[]): Finding[] {
  const byAnswer = [...answers].sort((a, b) => a.at - b.at);
  const bySending = answers.filter(({ replayed }) => !replayed).sort((a, b) => a.sent.at - b.sent.at);
  const findings: Finding[] = [];
  let last: Answer | undefined;
  let next = 0;
  for (const made of bySending) {
    // Strictly before: a millisecond is long.
    for (; byAnswer[next] !== undefined && byAnswer[next]!.at < made.sent.at; next++) {
      const answer = byAnswer[next]!;
      if (last === undefined || answer.logIndex > last.logIndex) last = answer;
    }
    if (last !== undefined && last.logIndex >= made.logIndex)
      findings.push(
        finding(
          'the log keeps the order of the calls',
          `${made.call} is entry ${made.logIndex}, sent after entry ${last.logIndex} was answered`,
        ),
      );
  }
  return findings;
}

function checkSent({ clusterId, entries }: StoredCluster, sent: readonly SentLine[]): Finding[] {
  const attempts = groupBy(
    sent.filter((line) => line.clusterId === clusterId),
    ({ requestId, root }) => `${requestId}/${root}`,
  );
  const anchored = groupBy(
    entries,
    (entry) => `${fieldOf(entry, 'request_id') ?? null}/${fieldOf(entry, 'root')}`,
  );
  return [...anchored.entries()].flatMap(([what, own]) => {
    const times = attempts.get(what)?.length ?? 0;
    return own.length <= times
      ? []
      : [
          finding(
            'nothing is anchored that nobody sent',
            `${what} was sent ${times} times, and is in ${clusterId} ${own.length} times`,
          ),
        ];
  });
}

function checkCalls({ calls }: Evidence, answers: readonly Answer[]): Finding[] {
  const refused = calls.flatMap((line) =>
    (line.type === 'answered' || line.type === 'proved') && line.refusal !== null
      ? [finding('every answer verifies', `${line.call}: ${line.refusal}`)]
      : [],
  );
  const failures = calls.filter((line): line is FailedLine => line.type === 'failed');
  const unexplained = failures
    .filter(({ code }) => !PASSING.has(code))
    .map(({ call, code, reason, message }) =>
      finding('errors are those that a fault explains', `${call}: ${code} ${reason}: ${message}`),
    );
  const pending = calls.flatMap((line) =>
    line.type === 'pending'
      ? [finding('everything is answered in the end', `${line.client}: not after ${line.attempts} attempts`)]
      : [],
  );
  const unknown =
    calls.length > 0 && answers.length > 0
      ? []
      : [finding('everything is answered in the end', 'nothing was answered at all')];
  return [...refused, ...unexplained, ...pending, ...unknown];
}

/** Read from the record, by nothing but JSON. */
function fieldOf({ record }: StoredEntry, name: string): string | undefined {
  const fields = JSON.parse(Buffer.from(record, 'base64').toString('utf8')) as Record<string, string>;
  return fields[name];
}

/** The first three lines of c2sp.org/tlog-checkpoint. */
function parseCheckpointLines(text: string): { origin: string; size: number; root: string } {
  const [origin = '', size = '', root = ''] = text.split('\n');
  return { origin, size: Number(size), root: Buffer.from(root, 'base64').toString('hex') };
}

function groupBy<T, K>(list: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of list) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
