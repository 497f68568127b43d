// One process at a time on a manifest, a journal or a data directory. Node has no flock, so the lock is a file that names its holder;
// one whose holder is dead (SIGKILL leaves it behind) is taken over.

import { randomUUID } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { LockError } from './lock-error.ts';
import { processStart } from './running-process.ts';

const ATTEMPTS = 20;

/**
 * Takes the lock until it is released or the process ends.
 *
 * @param what names the locked thing in the message, for example `the manifest app.log.manifest.jsonl`
 * @returns how to release it
 * @throws {LockError} IN_USE while another process holds it, FAILED where no lock can be made
 */
export function lockFile(path: string, what: string): () => void {
  const mine = describeHolder();
  const draft = `${path}.${randomUUID()}`;
  try {
    writeFileSync(draft, mine);
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (linked(draft, path)) return () => release(path, mine);
      const holder = readIfThere(path);
      if (holder === undefined) continue;
      if (isAlive(holder))
        throw new LockError('IN_USE', `${what} is in use by ${nameHolder(holder)} (${path})`);
      takeAway(path, holder);
    }
    throw new LockError('IN_USE', `${what} is in use: ${path} changes hands`);
  } catch (error) {
    if (error instanceof LockError) throw error;
    throw new LockError('FAILED', `cannot lock ${what} with ${path}: ${String(error)}`, { cause: error });
  } finally {
    rmSync(draft, { force: true });
  }
}

interface Holder {
  readonly pid: number;
  readonly host: string;
  /** When the process began, in the system's own units; tells a reused pid apart. */
  readonly began: string;
}

function describeHolder(): string {
  const holder: Holder = { pid: process.pid, host: hostname(), began: processStart(process.pid) ?? '' };
  return `${JSON.stringify({ ...holder, id: randomUUID() })}\n`;
}

function isAlive(text: string): boolean {
  const holder = parseHolder(text);
  // An unreadable lock is not ours to remove, and a process of another machine cannot be asked.
  if (holder === undefined || holder.host !== hostname()) return true;
  return holder.began === processStart(holder.pid);
}

function parseHolder(text: string): Holder | undefined {
  try {
    const { pid, host, began } = JSON.parse(text) as Record<string, unknown>;
    return typeof pid === 'number' && typeof host === 'string' && typeof began === 'string'
      ? { pid, host, began }
      : undefined;
  } catch {
    return undefined;
  }
}

function nameHolder(text: string): string {
  const holder = parseHolder(text);
  if (holder === undefined) return 'an unknown process; remove the file if none is left';
  if (holder.host === hostname()) return `process ${holder.pid}`;
  return `process ${holder.pid} on ${holder.host}; remove the file if that is gone`;
}

/** Removes a dead holder's lock, and only that: another process may have done so and hold a new one by now. */
function takeAway(path: string, holder: string): void {
  const aside = `${path}.${randomUUID()}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (isMissing(error)) return;
    throw error;
  }
  if (readIfThere(aside) !== holder) linked(aside, path);
  unlinkSync(aside);
}

function release(path: string, mine: string): void {
  if (readIfThere(path) === mine) unlinkSync(path);
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

/** Asks for no class: errors of Node's own modules are not instances of every realm's Error. */
function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}
