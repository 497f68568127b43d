import { setTimeout as sleep } from 'node:timers/promises';
import { sameHead } from './log-keys.ts';
import type { AppendGroup, AppendOutcome, Head, Storage } from './storage.ts';

const RESEND_FIRST_MS = 20;
const RESEND_MAX_MS = 1000;
/** Resends from one log line to the next. */
const RESENDS_A_LINE = 30;

export interface LostAnswerObserver {
  readonly isAbandoned: () => boolean;
  /** Told now and then of an outage that lasts. */
  readonly onStillLost: (resends: number, cause: unknown) => void;
}

/**
 * An append whose answer was lost is resolved, never guessed: the same bytes are sent again until they succeed, or the row at
 * their place is read.
 *
 * @returns what became of it, never `unknown`; undefined where it was abandoned first
 */
export async function resolveLostAnswer(
  storage: Storage,
  group: AppendGroup,
  { isAbandoned, onStillLost }: LostAnswerObserver,
): Promise<AppendOutcome | undefined> {
  let delayMs = RESEND_FIRST_MS;
  for (let resends = 1; ; resends++) {
    await sleep(delayMs);
    delayMs = Math.min(2 * delayMs, RESEND_MAX_MS);
    if (isAbandoned()) return undefined;
    const again = await storage.append(group);
    if (again.kind === 'appended') return again;
    if (resends % RESENDS_A_LINE === 0) onStillLost(resends, 'cause' in again ? again.cause : undefined);
    if (again.kind === 'unknown') continue;
    const place = await readPlace(storage, group);
    if (place === 'unreadable') continue;
    if (place === 'closed') return { kind: 'refused', knownRequestIds: [] };
    if (place === 'empty') {
      if (isForGood(again)) return again;
      continue;
    }
    if (!sameHead(place, group.newHead)) return { kind: 'refused', knownRequestIds: [] };
    // Ours, but only seen: it counts once a later commit has been acknowledged.
    if (await isConfirmed(storage, group)) return { kind: 'appended' };
  }
}

/**
 * Who follows the head that an append extends: `closed` where nobody can any more, because the cluster takes no anchors or
 * that head is itself gone, which a refresh looks into.
 */
async function readPlace(
  storage: Storage,
  { clusterId, oldHead }: AppendGroup,
): Promise<Head | 'empty' | 'closed' | 'unreadable'> {
  try {
    // The state first: a row that is absent after the state was seen inactive can no longer come.
    const snapshot = await storage.readLog(clusterId);
    const head = await storage.readHeadAfter(clusterId, oldHead.size);
    if (head !== undefined) return head;
    if (snapshot?.cluster.state !== 'active') return 'closed';
    const stored = await storage.readHead(clusterId, oldHead.size);
    return stored !== undefined && sameHead(stored, oldHead) ? 'empty' : 'closed';
  } catch {
    return 'unreadable';
  }
}

async function isConfirmed(storage: Storage, { clusterId, newHead }: AppendGroup): Promise<boolean> {
  try {
    return await storage.confirmDurable(clusterId, newHead);
  } catch {
    return false;
  }
}

/**
 * Whether the same bytes, whenever an earlier sending of them arrives, can only get this answer again: a known request id
 * stays known, a poison stays one, lost leaves stay lost, and rows past the head stay in the way.
 */
function isForGood(outcome: AppendOutcome): boolean {
  return (
    outcome.kind === 'rejected' ||
    outcome.kind === 'batchesMissing' ||
    (outcome.kind === 'refused' && outcome.knownRequestIds.length > 0) ||
    (outcome.kind === 'conflict' && outcome.duplicateKey)
  );
}
