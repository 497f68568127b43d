import fc from 'fast-check';
import { formatEntry, type ManifestEntry } from '../../../src/cli/anchoring/manifest-entry.ts';
import {
  type AnchoredGroup,
  ManifestRecovery,
  type ManifestState,
} from '../../../src/cli/anchoring/recover-manifest.ts';
import { CliError } from '../../../src/cli/error.ts';
import { LOGS, VKEYS } from '../honest-log.ts';
import { damagedText } from '../mutation.ts';
import { asText, must, parsed, type Target } from '../target.ts';

const SEEDS = LOGS.flatMap((log) => [
  manifestOf(log, log.size),
  manifestOf(log, 1),
  `${manifestOf(log, 2)}${pendingOf(3)}`,
]);
const TOKENS = [
  ...['valueOf', 'hasOwnProperty', '__proto__', 'constructor', 'line', 'keys', 'batch'].map(
    (type) => `{"type":"${type}"}\n`,
  ),
  ...['"type":"line",', '"type":1,', '"first_line":1', '"vkeys":[1]', 'null\n', '[]\n', '"leaf_index":0'],
];

/**
 * Whatever stands in a manifest, recovery answers with its own error or with a state that the sound part alone gives again;
 * a batch that it calls anchored has all its lines, in order, under one anchor.
 *
 * Seen red: with shapes looked up in a plain object (`"type":"valueOf"` was a TypeError, `"type":"toString"` an entry); with
 * the anchors of lines not compared.
 */
export const manifest: Target = {
  name: 'manifest',
  share: 12,
  open: () => ({
    inputs: fc.oneof(
      { weight: 4, arbitrary: damagedText(SEEDS, TOKENS) },
      { weight: 1, arbitrary: shuffled() },
    ),
    check(input) {
      // As bytes of a file are read.
      const text = asText(input).toWellFormed();
      const groups: AnchoredGroup[] = [];
      const state = parsed(() => recover(text, (group) => groups.push(group)), CliError);
      if (state === undefined) return false;
      for (const group of groups) checkGroup(group);
      must(state.last === groups.at(-1)?.batch, 'the last batch is not the last that ended');
      const sound = Buffer.from(text).subarray(0, state.soundLength).toString();
      must(
        JSON.stringify(recover(sound)) === JSON.stringify(state),
        'the sound part alone is another manifest',
      );
      return true;
    },
    growth: [
      {
        name: 'a manifest of many lines',
        from: 2_000,
        prepare: (n) => recovering(`${manifestOf(LOGS[0]!, 0)}${bigBatch(n)}`),
      },
      {
        name: 'a manifest of torn lines',
        from: 10_000,
        prepare: (n) => recovering(`${manifestOf(LOGS[0]!, 0)}${'{\n'.repeat(n)}`),
      },
      {
        name: 'a manifest of nested arrays',
        from: 50_000,
        prepare: (n) => recovering(`${manifestOf(LOGS[0]!, 0)}${'['.repeat(n)}\n`),
      },
      {
        name: 'a manifest with a long number',
        from: 50_000,
        prepare: (n) => recovering(`${manifestOf(LOGS[0]!, 0)}{"line":${'9'.repeat(n)}}\n`),
      },
    ],
  }),
};

function checkGroup({ batch, lines, anchored }: AnchoredGroup): void {
  must(anchored.request_id === batch.request_id, 'another request was anchored');
  must(lines.length === batch.last_line - batch.first_line + 1, 'lines are missing');
  lines.forEach((line, i) => {
    must(line.line === batch.first_line + i && line.leaf_index === i, 'lines out of order');
    must(line.anchor_id === anchored.anchor_id, 'a line of another anchor');
    must(/^[0-9a-f]{64}$/.test(line.leaf), 'a leaf that is none');
  });
}

/** As the file is read: lines that end with LF, the rest is torn. */
function recover(text: string, onGroup?: (group: AnchoredGroup) => void): ManifestState {
  const recovery = new ManifestRecovery('the manifest', onGroup);
  let offset = 0;
  for (const line of text.split('\n').slice(0, -1)) {
    offset += Buffer.byteLength(line) + 1;
    recovery.push(line, offset);
  }
  return recovery.finish();
}

function recovering(text: string): () => void {
  return () => void parsed(() => recover(text), CliError);
}

function requestId(number: number): string {
  return `c0ffee00-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

function manifestOf(log: (typeof LOGS)[number], batches: number): string {
  let line = 1;
  const entries: ManifestEntry[] = [
    { type: 'quartermaster.dev/manifest@v1', cluster_id: log.clusterId, file: 'audit "é".log' },
    { type: 'keys', vkeys: VKEYS.slice(0, 2), pinned: false },
  ];
  for (const [number, { leaves, anchorId }] of log.batches.slice(0, batches).entries()) {
    const last = line + leaves.length - 1;
    entries.push(batchEntry(number, line, last));
    for (const [leaf_index, leaf] of leaves.entries()) {
      entries.push({
        line: line + leaf_index,
        leaf: Buffer.from(leaf).toString('hex'),
        anchor_id: anchorId,
        leaf_index,
      });
    }
    const checkpoint = log.checkpoint(number + 1);
    entries.push({
      type: 'anchored',
      request_id: requestId(number),
      anchor_id: anchorId,
      log_index: number,
      checkpoint,
    });
    line = last + 1;
  }
  return entries.map(formatEntry).join('');
}

function batchEntry(number: number, first: number, last: number): ManifestEntry {
  return {
    type: 'batch',
    request_id: requestId(number),
    first_line: first,
    last_line: last,
    first_offset: first * 10,
    end_offset: last * 10 + 10,
    ...(number % 2 === 0 ? {} : { unterminated_from: last * 10 }),
    leaves_sha256: 'ab'.repeat(32),
  };
}

function pendingOf(number: number): string {
  return formatEntry(batchEntry(number, 50, 52));
}

/** One batch of so many lines. */
function bigBatch(lines: number): string {
  const anchor_id = LOGS[0]?.batches[0]?.anchorId ?? '';
  const all = Array.from({ length: lines }, (_, leaf_index) =>
    formatEntry({ line: 1 + leaf_index, leaf: 'ab'.repeat(32), anchor_id, leaf_index }),
  );
  return `${formatEntry(batchEntry(0, 1, lines))}${all.join('')}`;
}

/** Whole lines in another order. */
function shuffled(): fc.Arbitrary<string> {
  const lines = [...new Set(SEEDS.join('').split('\n'))].filter((line) => line !== '');
  return fc
    .array(fc.nat(lines.length - 1), { maxLength: 14 })
    .map((chosen) =>
      [lines[0] ?? '', lines[1] ?? '', ...chosen.map((which) => lines[which] ?? '')]
        .map((line) => `${line}\n`)
        .join(''),
    );
}
