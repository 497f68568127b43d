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
  /** End of the WAL just before the row: on a new timeline, no earlier than where that one began. */
  readonly lsn: bigint;
  /** Whoever wrote it knew of nothing that could be missing. */
  readonly trusted: boolean;
  /** What was noticed. */
  readonly reason: string;
}

/** What the database says of itself, and what was last written down in it. */
export interface LineageView extends DatabaseIdentity {
  /** End of the WAL that is on disk. */
  readonly lsn: bigint;
  readonly synchronous: boolean;
  readonly newest: LineageEntry | undefined;
  /** The row with the number of the one that this process knows. */
  readonly remembered: LineageEntry | undefined;
  /** Those after it, in order. */
  readonly since: readonly LineageEntry[];
}

/** What this process took for its database before it asked. */
export interface KnownLineage extends DatabaseIdentity {
  readonly number: number;
  readonly synchronous: boolean;
  readonly lsn: bigint;
  /** Anchors that this process saw acknowledged lie beyond: a timeline that began earlier lacks them. */
  readonly acknowledgedLsn: bigint;
}

export type LineageJudgement =
  | { readonly kind: 'same' }
  | { readonly kind: 'first'; readonly reason: '' }
  /** The same database, which now makes commits durable in another way. */
  | { readonly kind: 'durability'; readonly reason: string }
  /** Another server has written down, and acted on, what this one sees for the first time and has nothing to add to. */
  | { readonly kind: 'noticedElsewhere'; readonly trusted: boolean; readonly reason: string }
  /** `trusted`: nothing that was acknowledged can be missing. */
  | { readonly kind: 'changed'; readonly trusted: boolean; readonly reason: string };

/**
 * @param known undefined in a process that has just started: then the database's own rows are all there is to compare with
 */
export function judgeLineage(known: KnownLineage | undefined, view: LineageView): LineageJudgement {
  const { newest, since } = view;
  if (newest === undefined) {
    return known === undefined
      ? { kind: 'first', reason: '' }
      : { kind: 'changed', trusted: false, reason: 'the database has forgotten its lineage' };
  }
  const doubtedElsewhere = since.find(({ trusted }) => !trusted);
  // Where somebody has doubted already there is nothing to add.
  const doubt =
    known === undefined || doubtedElsewhere !== undefined ? undefined : doubtOf(known, newest, view);
  if (!isSame(newest, view)) {
    const trusted = doubt === undefined && isPromoted(newest, view);
    return { kind: 'changed', trusted, reason: doubt ?? describe(newest, view) };
  }
  if (doubt !== undefined) return { kind: 'changed', trusted: false, reason: doubt };
  if (doubtedElsewhere !== undefined) {
    return { kind: 'noticedElsewhere', trusted: false, reason: doubtedElsewhere.reason };
  }
  if (known !== undefined && !isSame(known, view)) {
    return { kind: 'noticedElsewhere', trusted: true, reason: describe(known, view) };
  }
  // Seen without a standby, and not written down: then it counts from the next row on, which reaches the standby.
  const wasWithout = known !== undefined && known.number === newest.number && !known.synchronous;
  if (view.synchronous !== (newest.synchronous && !wasWithout)) {
    const reason = view.synchronous
      ? 'commits wait for a standby now'
      : 'commits wait for no standby any more';
    return { kind: 'durability', reason };
  }
  return { kind: 'same' };
}

/** Why something that was acknowledged may be missing, as far as this process knows better than the database's own rows. */
function doubtOf(known: KnownLineage, newest: LineageEntry, view: LineageView): string | undefined {
  const { remembered, since } = view;
  // A row that this process saw acknowledged is missing, or another one is in its place.
  if (remembered === undefined || !isSame(remembered, known)) return describe(known, view);
  if (isSame(known, view) && isSame(known, newest)) {
    return view.lsn < known.lsn ? describe(known, view) : undefined;
  }
  const began = since.find((entry) => !isSame(entry, known)) ?? view;
  // The row that says otherwise may be what the standby lacks; one that came after is there.
  if (!known.synchronous && (since[0] ?? view) === began) return describe(known, began);
  if (began.lsn < known.acknowledgedLsn) {
    const acknowledged = formatLsn(known.acknowledgedLsn);
    return `${describe(known, began)} since ${formatLsn(began.lsn)} at the latest, but anchors beyond ${acknowledged} were acknowledged`;
  }
  return undefined;
}

/** A promoted standby has all that was acknowledged where every commit had waited for it, which its own newest row says. */
function isPromoted(newest: LineageEntry, view: LineageView): boolean {
  return (
    newest.systemIdentifier === view.systemIdentifier &&
    newest.storage === view.storage &&
    newest.timeline < view.timeline &&
    newest.synchronous
  );
}

export function isSame(a: DatabaseIdentity, b: DatabaseIdentity): boolean {
  return a.systemIdentifier === b.systemIdentifier && a.timeline === b.timeline && a.storage === b.storage;
}

type Place = DatabaseIdentity & { readonly lsn: bigint };

function describe(before: Place & { readonly number: number }, now: Place): string {
  if (before.systemIdentifier !== now.systemIdentifier) {
    return `the database is another one (system identifier ${now.systemIdentifier}, before ${before.systemIdentifier})`;
  }
  if (before.timeline !== now.timeline) {
    return `the database is on timeline ${now.timeline}, before on ${before.timeline}`;
  }
  if (before.storage !== now.storage) {
    return `the tables are other ones (object ids ${now.storage}, before ${before.storage})`;
  }
  if (now.lsn < before.lsn) {
    return `the database's WAL ends at ${formatLsn(now.lsn)}, before at ${formatLsn(before.lsn)}`;
  }
  return `the database has forgotten row ${before.number} of its lineage`;
}

/** As Postgres writes it. */
function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}
