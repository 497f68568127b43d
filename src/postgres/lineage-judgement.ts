/**
 * Whether the database that answers is the one that was served before. Postgres has no single name for that: a promoted
 * standby keeps the system identifier and gets a new timeline; a dump that is restored elsewhere has another system
 * identifier, and one that is restored in place other object ids; a backup that is put back in place has the same of all of
 * them, but its WAL ends earlier.
 */
export interface DatabaseIdentity {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** Object ids of the database and of the table of heads. */
  readonly storage: string;
}

/** A row of `lineage`. */
export interface LineageEntry extends DatabaseIdentity {
  readonly number: number;
  /** Whether commits waited for a synchronous standby. */
  readonly synchronous: boolean;
  /** What was noticed. */
  readonly reason: string;
}

/** What the database says of itself, and what was last written down in it. */
export interface LineageView extends DatabaseIdentity {
  /** End of the WAL that is on disk. */
  readonly lsn: bigint;
  readonly synchronous: boolean;
  readonly newest: LineageEntry | undefined;
}

/** What this process took for its database before it asked. */
export interface KnownLineage extends LineageEntry {
  readonly lsn: bigint;
}

export type LineageJudgement =
  | { readonly kind: 'same' }
  | { readonly kind: 'first'; readonly reason: '' }
  /** The same database, which now makes commits durable in another way. */
  | { readonly kind: 'durability'; readonly reason: string }
  /** Another server has written down, and acted on, what this one sees for the first time. */
  | { readonly kind: 'noticedElsewhere'; readonly reason: string }
  /** `trusted`: nothing that was acknowledged can be missing. */
  | { readonly kind: 'changed'; readonly trusted: boolean; readonly reason: string };

/**
 * @param known undefined in a process that has just started: then the database's own rows are all there is to compare with
 */
export function judgeLineage(known: KnownLineage | undefined, view: LineageView): LineageJudgement {
  const { newest } = view;
  if (newest === undefined) {
    return known === undefined
      ? { kind: 'first', reason: '' }
      : { kind: 'changed', trusted: false, reason: 'the database has forgotten its lineage' };
  }
  // A row that this process saw acknowledged is missing, or another one is in its place.
  const wentBack =
    known !== undefined &&
    (newest.number < known.number || (newest.number === known.number && !isSame(newest, known)));
  if (wentBack) return { kind: 'changed', trusted: false, reason: describe(known, view) };
  if (!isSame(newest, view)) {
    return { kind: 'changed', trusted: isTrusted(known, newest, view), reason: describe(newest, view) };
  }
  const endsEarlier = known !== undefined && view.lsn < known.lsn;
  if (endsEarlier && known.number === newest.number) {
    return { kind: 'changed', trusted: false, reason: describe(known, view) };
  }
  // Seen without a standby, and not written down: then it counts from the next row on, which reaches the standby.
  const wasWithout = known !== undefined && known.number === newest.number && !known.synchronous;
  if (view.synchronous !== (newest.synchronous && !wasWithout)) {
    const reason = view.synchronous
      ? 'commits wait for a standby now'
      : 'commits wait for no standby any more';
    return { kind: 'durability', reason };
  }
  return known !== undefined && (endsEarlier || !isSame(known, view))
    ? { kind: 'noticedElsewhere', reason: newest.reason }
    : { kind: 'same' };
}

/**
 * A promoted standby has all that was acknowledged where every commit had waited for it, which its own newest row says and
 * this process does not contradict: the row that says otherwise may be what the standby lacks.
 */
function isTrusted(known: KnownLineage | undefined, newest: LineageEntry, view: LineageView): boolean {
  return (
    newest.systemIdentifier === view.systemIdentifier &&
    newest.storage === view.storage &&
    newest.timeline < view.timeline &&
    newest.synchronous &&
    (known === undefined || known.number < newest.number || known.synchronous)
  );
}

export function isSame(a: DatabaseIdentity, b: DatabaseIdentity): boolean {
  return a.systemIdentifier === b.systemIdentifier && a.timeline === b.timeline && a.storage === b.storage;
}

function describe(before: LineageEntry & { readonly lsn?: bigint }, now: LineageView): string {
  if (before.systemIdentifier !== now.systemIdentifier) {
    return `the database is another one (system identifier ${now.systemIdentifier}, before ${before.systemIdentifier})`;
  }
  if (before.timeline !== now.timeline) {
    return `the database is on timeline ${now.timeline}, before on ${before.timeline}`;
  }
  if (before.storage !== now.storage) {
    return `the tables are other ones (object ids ${now.storage}, before ${before.storage})`;
  }
  if (before.lsn !== undefined && now.lsn < before.lsn) {
    return `the database's WAL ends at ${formatLsn(now.lsn)}, before at ${formatLsn(before.lsn)}`;
  }
  return `the database has forgotten row ${before.number} of its lineage`;
}

/** As Postgres writes it. */
function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}
