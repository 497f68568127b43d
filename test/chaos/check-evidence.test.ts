import { createHash, randomUUID } from 'node:crypto';
import { expect, test } from '@jest/globals';
import type { AnsweredLine, CallLine, SentLine } from './call-log.ts';
import { checkEvidence, type Rule } from './check-evidence.ts';
import type { Evidence, StoredCluster } from './evidence.ts';
import { rootsOf } from './log-roots.ts';

// A checker that was never seen to find anything proves nothing: a run in which everything is right, then one damage for each
// rule, done to the logs, the database or the signatures.

const CLUSTER = randomUUID();
const ORIGIN = `log.example.org/${CLUSTER}`;
const SIZE = 6;

const clone = <T>(value: T): Mutable<T> => structuredClone(value) as Mutable<T>;
type Mutable<T> = T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T;

const base64 = (text: string) => Buffer.from(text).toString('base64');
const rootOfBatch = (i: number) => createHash('sha256').update(`batch ${i}`).digest('hex');

function recordOf(i: number, requestId: string | null, second = i): string {
  return base64(
    JSON.stringify({
      created_at: `2026-01-01T00:00:0${second}.000Z`,
      ...(requestId === null ? {} : { request_id: requestId }),
      root: rootOfBatch(i),
    }),
  );
}

/** Six anchors, the even ones with a request_id; the first was sent twice and answered twice. */
function goodRun(): Mutable<Evidence> {
  const requestIds = Array.from({ length: SIZE }, (_, i) => (i % 2 === 0 ? randomUUID() : null));
  const entries = requestIds.map((requestId, logIndex) => ({
    logIndex,
    anchorId: randomUUID(),
    requestId,
    root: rootOfBatch(logIndex),
    record: recordOf(logIndex, requestId),
  }));
  const roots = rootsOf(entries.map(({ record }) => Buffer.from(record, 'base64')));
  const note = (size: number) =>
    `${ORIGIN}\n${size}\n${Buffer.from(roots[size]!, 'hex').toString('base64')}\n`;
  const call = (i: number, at: number, name: string, replayed: boolean): CallLine[] => [
    {
      type: 'sent',
      at,
      call: name,
      client: 'c',
      server: 0,
      clusterId: CLUSTER,
      requestId: requestIds[i]!,
      root: rootOfBatch(i),
      leafCount: 1,
      knownCheckpoint: null,
    },
    {
      type: 'answered',
      at: at + 5,
      call: name,
      anchorId: entries[i]!.anchorId,
      logIndex: i,
      replayed,
      record: entries[i]!.record,
      checkpoint: `${note(i + 1)}\n— signature\n`,
      refusal: null,
    },
  ];
  return clone({
    calls: [...entries.flatMap((_, i) => call(i, i * 10, `c/${i}`, false)), ...call(0, 100, 'c/again', true)],
    signatures: Array.from({ length: SIZE + 1 }, (_, size) => ({ at: 0, pid: 1, noteText: note(size) })),
    clusters: [
      {
        clusterId: CLUSTER,
        origin: ORIGIN,
        state: 'active',
        heads: roots.map((root, size) => ({ size, root })),
        entries,
      },
    ],
    fsck: { ok: true, output: '{"ok":true}' },
  } satisfies Evidence);
}

test('a run in which everything is right has no findings', () => {
  expect(checkEvidence(goodRun())).toEqual([]);
});

type Damage = (
  run: Mutable<Evidence>,
  cluster: Mutable<StoredCluster>,
  answer: (call: string) => Mutable<AnsweredLine>,
) => void;

const ALL_ROOTS: Rule = 'checkpoints are consistent with one another';
const ANSWERED: Rule = 'every answered anchor is there once, with the answered index';

test.each<[damage: string, rule: Rule, Damage]>([
  ['an answered entry that is gone', ANSWERED, (_, { entries }) => void entries.pop()],
  [
    'an answered index that another anchor has',
    ANSWERED,
    (_, __, answer) => {
      answer('c/3').logIndex = 2;
    },
  ],
  [
    'a record that was answered otherwise',
    ANSWERED,
    (_, __, answer) => {
      answer('c/3').record = base64('{}');
    },
  ],
  [
    'an answered anchor that is there twice',
    ANSWERED,
    (_, { entries }) => void entries.push({ ...entries[3]!, logIndex: SIZE }),
  ],
  [
    'a second anchor of a request_id',
    'no request_id has two anchors',
    (_, { entries }) => void entries.push({ ...entries[2]!, logIndex: SIZE, anchorId: randomUUID() }),
  ],
  ['a gap', 'log_index has no gaps', (_, { entries }) => void entries.splice(3, 1)],
  ['entries past the newest head', 'log_index has no gaps', (_, { heads }) => void heads.pop()],
  [
    'a checkpoint that was handed out for another log',
    ALL_ROOTS,
    (_, __, answer) => {
      const { checkpoint } = answer('c/5');
      answer('c/5').checkpoint = checkpoint.replace(
        /\n.{44}\n/,
        `\n${Buffer.alloc(32).toString('base64')}\n`,
      );
    },
  ],
  [
    'a second root that was signed for a size and that nobody was told',
    ALL_ROOTS,
    ({ signatures }) => {
      const noteText = signatures[4]!.noteText.replace(
        /\n.{44}\n/,
        `\n${Buffer.alloc(32).toString('base64')}\n`,
      );
      signatures.push({ at: 0, pid: 2, noteText });
    },
  ],
  [
    'an entry that was rewritten, head and all',
    ALL_ROOTS,
    (_, cluster) => {
      cluster.entries[1]!.record = recordOf(1, null, 2);
      const roots = rootsOf(cluster.entries.map(({ record }) => Buffer.from(record, 'base64')));
      cluster.heads = roots.map((root, size) => ({ size, root }));
    },
  ],
  [
    'a signature for a size between two heads',
    'only committed heads are signed',
    (_, { heads }) => void heads.splice(4, 1),
  ],
  [
    'a time before the one before it',
    'created_at never goes back',
    (_, { entries }) => {
      entries[4]!.record = recordOf(4, entries[4]!.requestId, 1);
    },
  ],
  [
    'a retry that got another anchor',
    'every retry gets the first answer',
    (_, __, answer) => {
      answer('c/again').anchorId = randomUUID();
    },
  ],
  [
    'two calls that both made the anchor of a request_id',
    'an anchor is made by one call',
    (_, __, answer) => {
      answer('c/again').replayed = false;
    },
  ],
  [
    'an anchor that came before what was answered before it was sent',
    'the log keeps the order of the calls',
    ({ calls }) => {
      for (const line of calls) if ('call' in line && line.call === 'c/0') line.at += 50;
    },
  ],
  [
    'an anchor without a request_id that is there more often than it was sent',
    'nothing is anchored that nobody sent',
    (_, { entries }) => void entries.push({ ...entries[1]!, logIndex: SIZE, anchorId: randomUUID() }),
  ],
  [
    'an anchor that nobody sent',
    'nothing is anchored that nobody sent',
    ({ calls }) => void calls.splice(0, calls.length, ...calls.filter((line) => !isSent(line, 'c/3'))),
  ],
  [
    'an answer that its client refused',
    'every answer verifies',
    (_, __, answer) => {
      answer('c/1').refusal = 'the consistency path is wrong';
    },
  ],
  [
    'a receipt that its reader refused',
    'every answer verifies',
    ({ calls }) => void calls.push(proved('', 'the record path is wrong')),
  ],
  [
    'a receipt under a checkpoint of another log',
    ALL_ROOTS,
    ({ calls }) => void calls.push(proved(`${ORIGIN}\n4\n${Buffer.alloc(32).toString('base64')}\n`, null)),
  ],
  [
    'an alarm where nothing was lost',
    'errors are those that a fault explains',
    ({ calls }) =>
      void calls.push({ type: 'failed', at: 0, call: 'c/9', code: 'DATA_LOSS', reason: '', message: '' }),
  ],
  [
    'a client that still waits',
    'everything is answered in the end',
    ({ calls }) => void calls.push({ type: 'pending', at: 0, client: 'c', attempts: 9 }),
  ],
  ['a run without an answer', 'everything is answered in the end', ({ calls }) => void calls.splice(0)],
  [
    'a cluster that takes no anchors any more',
    'no log is refused anchors in the end',
    (_, cluster) => {
      cluster.state = 'recovering';
    },
  ],
  [
    'fsck finding something',
    'fsck finds nothing wrong',
    ({ fsck }) => {
      fsck.ok = false;
    },
  ],
])('%s is found', (_, rule, damage) => {
  const run = goodRun();
  damage(run, run.clusters[0]!, (call) => {
    const line = run.calls.find((each) => each.type === 'answered' && each.call === call);
    return line as Mutable<AnsweredLine>;
  });
  expect(checkEvidence(run).map((finding) => finding.rule)).toContain(rule);
});

function proved(checkpoint: string, refusal: string | null): CallLine {
  return { type: 'proved', at: 0, call: 'c/p', anchorId: '', checkpoint, refusal };
}

function isSent(line: CallLine, call: string): line is SentLine {
  return line.type === 'sent' && line.call === call;
}
