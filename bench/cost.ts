/** What work costs besides time: CPU of processes, bytes of write-ahead log, bytes on disk. */
import { readdirSync, readFileSync } from 'node:fs';
import { queryOnce } from './postgres.ts';

/** USER_HZ, which is 100 wherever Linux runs Node.js. */
const TICKS_PER_SECOND = 100;

export interface Spent {
  readonly serverSeconds: number;
  readonly postgresSeconds: number;
  readonly walBytes: number;
  readonly tableBytes: number;
}

/** All so far; the difference of two is what happened between. */
export async function spent(
  serverPids: readonly number[],
  postmasterPid: number,
  ownerUrl: string,
): Promise<Spent> {
  const [row] = await queryOnce<{ wal: string; tables: string }>(ownerUrl, SIZES);
  return {
    serverSeconds: processSeconds(serverPids),
    postgresSeconds: postgresSeconds(postmasterPid),
    walBytes: Number(row?.wal),
    tableBytes: Number(row?.tables),
  };
}

export function difference(before: Spent, after: Spent): Spent {
  return {
    serverSeconds: after.serverSeconds - before.serverSeconds,
    postgresSeconds: after.postgresSeconds - before.postgresSeconds,
    walBytes: after.walBytes - before.walBytes,
    tableBytes: after.tableBytes - before.tableBytes,
  };
}

/** CPU seconds of some processes so far. */
export function processSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + ownSeconds(statOf(pid)), 0);
}

/** Indexes and TOAST included. */
const SIZES = `
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS wal, (
  SELECT sum(pg_total_relation_size(oid)) FROM pg_class
  WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
) AS tables`;

/** Backends that have ended are in the postmaster's account of its children. */
export function postgresSeconds(postmasterPid: number): number {
  const postmaster = statOf(postmasterPid);
  let seconds = ownSeconds(postmaster) + (number(postmaster, 16) + number(postmaster, 17)) / TICKS_PER_SECOND;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = statOf(Number(name));
    if (number(stat, 4) === postmasterPid) seconds += ownSeconds(stat);
  }
  return seconds;
}

/** proc(5), `/proc/PID/stat`, numbered from 1 as there; empty for a process that is gone. */
function statOf(pid: number): readonly string[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch {
    return [];
  }
  // The name, in parentheses, may hold anything.
  const end = text.lastIndexOf(')');
  return ['', String(pid), text.slice(0, end + 1), ...text.slice(end + 2).split(' ')];
}

function ownSeconds(stat: readonly string[]): number {
  return (number(stat, 14) + number(stat, 15)) / TICKS_PER_SECOND;
}

function number(stat: readonly string[], field: number): number {
  return Number(stat[field] ?? 0);
}
