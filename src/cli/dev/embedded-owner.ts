import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processStart } from '../../exclusive/running-process.ts';
import { EmbeddedPostgresError } from './embedded-error.ts';

/**
 * Makes this process the one that runs the directory's database, so that a second `dev` does not stop the first one's
 * Postgres as a left-over. Resolves to the release. Postgres' own postmaster.pid protects the data beyond that.
 *
 * The newest of the files `owner.N` names the owner. A newcomer takes the next number once the newest owner has ended or
 * released; link(2) lets one of several have it, with its contents at once. Numbers are never used again, so that a newcomer
 * that was slow to judge an old owner cannot do away with a new one.
 */
export async function takeOwnership(directory: string): Promise<() => Promise<void>> {
  const draft = join(directory, `draft-${randomUUID()}`);
  const fileOf = (number: number) => join(directory, `owner.${number}`);
  await writeFile(draft, `${process.pid} ${processStart(process.pid)}\n`, { flag: 'wx' });
  try {
    for (;;) {
      const newest = (await ownerNumbers(directory)).at(-1) ?? 0;
      if (newest > 0) await assertEnded(fileOf(newest), directory);
      if (!(await linked(draft, fileOf(newest + 1)))) continue;
      const numbers = await ownerNumbers(directory);
      if (numbers.at(-1) !== newest + 1) {
        await rm(fileOf(newest + 1), { force: true }); // Others came and went while we judged: it was an old number.
        continue;
      }
      for (const old of numbers.slice(0, -1)) await rm(fileOf(old), { force: true });
      return async () => {
        const released = join(directory, `draft-${randomUUID()}`);
        await writeFile(released, '', { flag: 'wx' });
        await rename(released, fileOf(newest + 1));
      };
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function ownerNumbers(directory: string): Promise<readonly number[]> {
  const names = await readdir(directory);
  return names
    .flatMap((name) => /^owner\.(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

async function assertEnded(file: string, directory: string): Promise<void> {
  const contents = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''; // A newer one is there by now.
    throw error;
  });
  const [pid = '', start = ''] = contents.trim().split(' ');
  if (contents === '' || processStart(Number(pid)) !== start) return;
  throw new EmbeddedPostgresError(
    'IN_USE',
    `Process ${pid} is already running the database in ${directory}. Stop it first, or use another directory.`,
  );
}

async function linked(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
