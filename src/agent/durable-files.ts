// Files that are there, whole, once the promise resolves, whatever happens to the machine afterwards.

import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { nodeFiles } from '../gateway/journal/file-system.ts';

/** Writes a file beside its place, and puts it there when it is whole and on disk: no reader ever sees half of it. */
export async function writeDurably(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const draft = `${path}${DRAFT}`;
  try {
    const file = await open(draft, 'w', 0o600);
    try {
      for (const part of parts) await file.writeFile(part);
      await file.sync();
    } finally {
      await file.close();
    }
    await moveDurably(draft, path);
  } catch (error) {
    // Where the disk is full its room is needed.
    await rm(draft, { force: true }).catch(() => undefined);
    throw error;
  }
}

/** What a crash may leave behind of a file that was never there. */
export const DRAFT = '.draft';

export async function moveDurably(from: string, to: string): Promise<void> {
  await rename(from, to);
  try {
    await syncDirectory(dirname(to));
  } catch (error) {
    await rename(to, from).catch(() => undefined);
    throw error;
  }
}

export async function makeDirectory(name: string): Promise<void> {
  const path = resolve(name);
  const first = await mkdir(path, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
}

const syncing = new Map<string, { readonly done: Promise<void>; next: Promise<void> | undefined }>();

/** Calls that come while one fsync is under way share the next. */
export function syncDirectory(path: string): Promise<void> {
  const running = syncing.get(path);
  if (running === undefined) return beginSync(path);
  running.next ??= running.done.catch(() => undefined).then(() => beginSync(path));
  return running.next;
}

function beginSync(path: string): Promise<void> {
  const done = nodeFiles.syncDirectory(path).finally(() => {
    if (syncing.get(path)?.done === done) syncing.delete(path);
  });
  syncing.set(path, { done, next: undefined });
  return done;
}
