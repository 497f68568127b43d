// The lines of a manifest, as JSON. A manifest is a header and the log's keys, then for each batch: what is about to be sent,
// one entry for each of its lines, and what came back.

export const MANIFEST_TYPE = 'quartermaster.dev/manifest@v1';

export interface HeaderEntry {
  readonly type: typeof MANIFEST_TYPE;
  readonly cluster_id: string;
  /** Name of the file when the manifest was begun; for people. */
  readonly file: string;
}

/** Whom answers are verified against from here on. */
export interface KeysEntry {
  readonly type: 'keys';
  readonly vkeys: readonly string[];
  /** false: as the server told them at the first run (trust on first use) */
  readonly pinned: boolean;
}

/** Written and synced before the batch is sent, so that whatever happens then, it can be sent again as the same request. */
export interface BatchEntry {
  readonly type: 'batch';
  readonly request_id: string;
  readonly first_line: number;
  readonly last_line: number;
  readonly first_offset: number;
  readonly end_offset: number;
  /** Where the last line begins, if it had no LF. */
  readonly unterminated_from?: number;
  /** Of the packed leaves, hex. */
  readonly leaves_sha256: string;
}

export interface LineEntry {
  readonly line: number;
  /** hex */
  readonly leaf: string;
  readonly anchor_id: string;
  readonly leaf_index: number;
}

/** The end of a batch: its lines are anchored. */
export interface AnchoredEntry {
  readonly type: 'anchored';
  readonly request_id: string;
  readonly anchor_id: string;
  readonly log_index: number;
  readonly checkpoint: string;
}

export type ManifestEntry = HeaderEntry | KeysEntry | BatchEntry | LineEntry | AnchoredEntry;

export function formatEntry(entry: ManifestEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

/** Reads one line without its LF; undefined where it is none of ours, or torn. */
export function parseEntry(text: string): ManifestEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const entry = value as Readonly<Record<string, unknown>>;
  const isEntry = 'type' in entry ? SHAPES.get(entry.type) : isLine;
  return isEntry?.(entry) === true ? (value as ManifestEntry) : undefined;
}

type Fields = Readonly<Record<string, unknown>>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const HASH = /^[0-9a-f]{64}$/;

const isUuid = (value: unknown): boolean => typeof value === 'string' && UUID.test(value);
const isHash = (value: unknown): boolean => typeof value === 'string' && HASH.test(value);
const isFrom = (least: number, value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= least;

const isLine = ({ line, leaf, anchor_id, leaf_index }: Fields): boolean =>
  isFrom(1, line) && isHash(leaf) && isUuid(anchor_id) && isFrom(0, leaf_index);

/** A map, because a damaged entry may be of the type `valueOf`. */
const SHAPES: ReadonlyMap<unknown, (entry: Fields) => boolean> = new Map<string, (entry: Fields) => boolean>([
  [MANIFEST_TYPE, ({ cluster_id, file }) => isUuid(cluster_id) && typeof file === 'string'],
  [
    'keys',
    ({ vkeys, pinned }) =>
      Array.isArray(vkeys) && vkeys.every((vkey) => typeof vkey === 'string') && typeof pinned === 'boolean',
  ],
  [
    'batch',
    ({ request_id, first_line, last_line, first_offset, end_offset, unterminated_from, leaves_sha256 }) =>
      isUuid(request_id) &&
      isFrom(1, first_line) &&
      isFrom(first_line, last_line) &&
      isFrom(0, first_offset) &&
      isFrom(first_offset, end_offset) &&
      (unterminated_from === undefined || isFrom(first_offset, unterminated_from)) &&
      isHash(leaves_sha256),
  ],
  [
    'anchored',
    ({ request_id, anchor_id, log_index, checkpoint }) =>
      isUuid(request_id) && isUuid(anchor_id) && isFrom(0, log_index) && typeof checkpoint === 'string',
  ],
]);
