import fc from 'fast-check';
import { fastHasher } from '../../../src/merkle/fast.ts';
import { verifyEd25519Natively } from '../../../src/native/ed25519.ts';
import { NotaryError } from '../../../src/notary/error.ts';
import { fsck } from '../../../src/notary/fsck.ts';
import { createSeedSigning } from '../../../src/notary/seed-signing.ts';
import type { LogKeyRow } from '../../../src/notary/storage.ts';
import { ed25519Vkey, formatVkey, publicKeyEd25519 } from '../../../src/note/index.ts';
import {
  type AnchorResponse,
  verifyAnchorResponse,
  verifyCheckpoint,
  verifyReceipt,
} from '../../../src/verify/index.ts';
import type { StoredLog } from '../../notary/memory-database.ts';
import { naiveRoot } from '../../verify/naive-tree.ts';
import {
  copyOf,
  createCluster,
  type MemoryNotary,
  openMemoryNotary,
  SEED,
  someLeaves,
  submission,
} from '../memory-notary.ts';
import { StoredRows } from '../stored-rows.ts';
import { asBytes, must, parsedLater, type Target } from '../target.ts';

const FAST = { hasher: fastHasher, verifyEd25519: verifyEd25519Natively };
const HANG_MS = 20_000;
const LEAF_COUNTS = [1, 3, 300, 2, 7];

/** Each damage is five numbers: table, row, column, how, with what. */
const inputs = fc
  .array(fc.tuple(fc.nat(5), fc.nat(255), fc.nat(9), fc.nat(40), fc.nat(255)), { minLength: 1, maxLength: 3 })
  .map((damages) => Uint8Array.from(damages.flat()));

/**
 * Rows as the owner of the database left them. Whatever is read back, the notary answers with an error of its own or with the
 * truth: it signs no head that it did not commit, hands out no receipt of what was not anchored, and names no key that is not
 * derived from its seed.
 *
 * Seen red: with retired keys taken as they are stored, which made a stranger's key one of the log's own; without the recomputed
 * root of a stored head; without the check of a proof before it is handed out.
 */
export const rows: Target = {
  name: 'rows',
  share: 0.4,
  async open() {
    const honest = openMemoryNotary();
    const clusterId = await createCluster(honest);
    const anchorIds: string[] = [];
    for (const [name, count] of LEAF_COUNTS.entries()) {
      const { anchorId } = await honest.notary.createAnchor(
        submission(clusterId, someLeaves(count, name), requestId(name)),
      );
      anchorIds.push(anchorId);
    }
    const truth = await tellTruth(honest, clusterId, anchorIds);
    return {
      inputs,
      async check(input) {
        const database = copyOf(honest.database);
        const log = database.log(clusterId);
        const numbers = [...asBytes(input)];
        for (let at = 0; at + 5 <= numbers.length; at += 5) damage(log, numbers.slice(at, at + 5));
        const asked = ask(openMemoryNotary(database), truth);
        const answered = await within(asked, 'a call');
        await within(checkFsck(new StoredRows(database), clusterId), 'fsck');
        return answered > 0;
      },
    };
  },
};

interface Truth {
  readonly clusterId: string;
  readonly anchorIds: readonly string[];
  readonly records: readonly Uint8Array[];
  readonly vkey: string;
}

async function tellTruth(
  { notary, database }: MemoryNotary,
  clusterId: string,
  anchorIds: readonly string[],
): Promise<Truth> {
  const { keys } = await notary.getLog(clusterId);
  const records = database.entriesOf(clusterId).map(({ record }) => record);
  return { clusterId, anchorIds, records, vkey: keys[0]?.vkey ?? '' };
}

/** Asks everything that reads rows. @returns how many calls were answered */
async function ask({ notary, registry }: MemoryNotary, truth: Truth): Promise<number> {
  const { clusterId, anchorIds } = truth;
  const later = <T>(call: () => Promise<T>) => parsedLater(call, NotaryError);
  const answers: unknown[] = [
    await later(() => registry.getCluster(clusterId)),
    await later(() => registry.listClusters(undefined, 10)),
    await later(() => notary.getLog(clusterId)).then((log) => {
      for (const { vkey } of log?.keys ?? []) must(vkey === truth.vkey, 'named a key that is not its own');
      return log;
    }),
    await later(() => notary.getCheckpoint(clusterId, 0)).then((note) => note && checkHead(note, truth)),
    await later(() => notary.getCheckpoint(clusterId, 3)).then((note) => note && checkHead(note, truth)),
    await later(() => notary.getConsistencyPath(clusterId, 2, 5)),
    await later(() =>
      notary.listAnchors({ clusterId, fromLogIndex: 0, limit: 10, startMs: 5, endMs: undefined }),
    ),
  ];
  for (const [batch, anchorId] of anchorIds.entries()) {
    const leafIndex = (LEAF_COUNTS[batch] ?? 1) - 1;
    answers.push(
      await later(() => notary.getAnchor(anchorId, clusterId)),
      await later(() => notary.listLeaves({ anchorId, clusterId: undefined, firstLeafIndex: 0, limit: 5 })),
      await later(() => notary.getReceipt({ anchorId, leafIndex, clusterId }, 0)).then((receipt) => {
        if (receipt === undefined) return undefined;
        const leaf = someLeaves(leafIndex + 1, batch).subarray(-32);
        const verdict = verifyReceipt(
          receipt,
          { leaf, anchorId, leafIndex },
          { logKeys: [truth.vkey] },
          FAST,
        );
        must(verdict.logIndex === batch, 'a receipt of another entry');
        checkHead(receipt.checkpoint, truth);
        return receipt;
      }),
    );
  }
  const references = anchorIds.map((anchorId) => ({ anchorId, leafIndex: 0 }));
  answers.push(await later(() => notary.getReceipts(clusterId, references, 0)));
  const appended: Uint8Array[] = [];
  for (const given of [undefined, requestId(1)]) {
    const leaves = given === undefined ? someLeaves(4, 99) : someLeaves(3, 1);
    const answer = await later(() => notary.createAnchor(submission(clusterId, leaves, given)));
    if (answer !== undefined) checkAnswer({ ...answer, leafIndices: [] }, leaves, given, truth, appended);
    answers.push(answer);
  }
  return answers.filter((answer) => answer !== undefined).length;
}

/** A checkpoint of what was committed, or of that and what was appended now. */
function checkHead(note: string, { vkey, records }: Truth, appended: readonly Uint8Array[] = []): string {
  const { size, root } = verifyCheckpoint(note, { logKeys: [vkey] }, FAST);
  const all = [...records, ...appended];
  must(
    size <= all.length && Buffer.compare(naiveRoot(all.slice(0, size)), root) === 0,
    'signed a head that is not committed',
  );
  return note;
}

function checkAnswer(
  answer: AnchorResponse,
  packedLeaves: Uint8Array,
  given: string | undefined,
  truth: Truth,
  appended: Uint8Array[],
): void {
  const request = {
    clusterId: truth.clusterId,
    packedLeaves,
    ...(given === undefined ? {} : { requestId: given }),
  };
  verifyAnchorResponse(answer, request, { logKeys: [truth.vkey] }, FAST);
  if (answer.logIndex >= truth.records.length) appended.push(answer.record);
  checkHead(answer.checkpoint, truth, appended);
}

/** fsck ends with a report, whatever it finds. */
async function checkFsck(storage: StoredRows, clusterId: string): Promise<void> {
  await parsedLater(
    () => fsck({ storage, signing: createSeedSigning(SEED), hasher: fastHasher, clusterId }),
    NotaryError,
  );
}

async function within<T>(work: Promise<T>, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const hang = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} hangs`)), HANG_MS);
  });
  try {
    return await Promise.race([work, hang]);
  } finally {
    clearTimeout(timer);
  }
}

function requestId(number: number): string {
  return `c0ffee00-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

const STRANGE_NUMBERS = [-1, 0, 1, 2, 5, 255, 256, 2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1, -(2 ** 53)];
const stranger = (origin: string) =>
  formatVkey(ed25519Vkey(origin, publicKeyEd25519(new Uint8Array(32).fill(66))));
const STRANGE_TEXTS = [
  '',
  'x',
  'é\0',
  'a b',
  'notary.example/logs/other',
  'x'.repeat(300),
  '-'.repeat(36),
  '{}',
  'active',
  'sealed',
  'frozen',
  'recovering',
  'paused',
];

/** Another value of the same kind: columns have types, whoever owns them. */
function changed(value: unknown, how: number, which: number, origin: string): unknown {
  // NULL, which for bytes is as good as none.
  if (how === 0) return value instanceof Uint8Array ? new Uint8Array() : undefined;
  if (value instanceof Uint8Array) {
    const bytes = Uint8Array.from(value);
    if (how < 20 && bytes.length > 0)
      bytes[which % bytes.length] = (bytes[which % bytes.length] ?? 0) ^ (1 << (how % 8));
    return how < 20
      ? bytes
      : how < 25
        ? bytes.subarray(0, which % 33)
        : how < 30
          ? Uint8Array.from([...bytes, ...new Uint8Array(1 + (which % 64))])
          : new Uint8Array(32).fill(which);
  }
  if (typeof value === 'number')
    return how < 12
      ? value + (how % 2 === 0 ? 1 : -1) * (1 + (which % 4))
      : STRANGE_NUMBERS[which % STRANGE_NUMBERS.length];
  if (how < 8) return stranger(origin);
  if (how < 12 && typeof value === 'string') return value.toUpperCase();
  return value === undefined && how % 2 === 0
    ? STRANGE_NUMBERS[which % STRANGE_NUMBERS.length]
    : STRANGE_TEXTS[which % STRANGE_TEXTS.length];
}

function damage(
  log: StoredLog,
  [table = 0, row = 0, column = 0, how = 0, which = 0]: readonly number[],
): void {
  const origin = `notary.example/logs/${log.cluster.clusterId}`;
  const change = <T extends object>(value: T): T => {
    const names = Object.keys(value);
    const name = names[column % names.length] ?? '';
    return { ...value, [name]: changed(Reflect.get(value, name), how, which, origin) };
  };
  /** Rows are found by their key, which is a column too. */
  const inTable = <K, V extends object>(stored: Map<K, V>, keyOf: (value: V) => K): void => {
    const keys = [...stored.keys()];
    const key = keys[row % Math.max(keys.length, 1)];
    const value = key === undefined ? undefined : stored.get(key);
    if (key === undefined || value === undefined) return;
    const other = stored.get(keys[which % keys.length] as K);
    stored.delete(key);
    if (how === 38) return;
    const put = how >= 39 && other !== undefined ? { ...other, ...keyPart(value) } : change(value);
    stored.set(keyOf(put), put);
  };
  if (table === 0) log.cluster = { ...change(log.cluster), clusterId: log.cluster.clusterId };
  if (table === 1) inTable(log.heads, ({ size }) => size);
  if (table === 2) inTable(log.entries, ({ logIndex }) => logIndex);
  if (table === 3) inTable(log.batches, ({ anchorId }) => anchorId);
  if (table === 4) inTable(log.nodes, ({ level, index }) => `${level}/${index}`);
  if (table === 5) log.keys = damagedKeys(log.keys, change, how, which, origin);
}

/** What names a row, so that another row's content can be put in its place. */
function keyPart(value: object): object {
  const names = ['size', 'logIndex', 'level', 'index'].filter((name) => name in value);
  const isBatch = 'nodes' in value && 'anchorId' in value;
  return Object.fromEntries(
    [...names, ...(isBatch ? ['anchorId'] : [])].map((name) => [name, Reflect.get(value, name)]),
  );
}

function damagedKeys(
  keys: readonly LogKeyRow[],
  change: (row: LogKeyRow) => LogKeyRow,
  how: number,
  which: number,
  origin: string,
): LogKeyRow[] {
  const [key] = keys;
  if (key === undefined || how === 38) return [];
  if (how % 2 === 0) return [change(key)];
  // A key more, retired, so that nothing is signed with it.
  const retired = { ...key, epoch: 2, lastSize: 1 };
  return [...keys, change(which % 2 === 0 ? { ...retired, vkey: stranger(origin) } : retired)];
}
