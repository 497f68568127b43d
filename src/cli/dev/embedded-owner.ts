import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EmbeddedPostgresError } from './embedded-error.ts';
import { processStart } from './embedded-process.ts';

/**
 * Makes this process the one that runs the directory's database, so that a second `dev` does not stop the first one's
 * Postgres as a left-over. Resolves to the release. Postgres' own postmaster.pid protects the data beyond that.
 */
export async function takeOwnership(directory: string): Promise<() => Promise<void>> {
  const file = join(directory, 'owner.pid');
  const mine = `${process.pid} ${processStart(process.pid)}\n`;
  const draft = join(directory, `owner.${randomUUID()}`);
  await writeFile(draft, mine, { flag: 'wx' });
  try {
    for (;;) {
      try {
        // link(2) creates the name with its contents at once, or fails: nobody ever reads half a file.
        await link(draft, file);
        return async () => {
          if ((await readOrEmpty(file)) === mine) await rm(file, { force: true });
        };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      await removeIfLeftOver(directory, file);
    }
  } finally {
    await rm(draft, { force: true });
  }
}

async function removeIfLeftOver(directory: string, file: string): Promise<void> {
  const seen = await readOrEmpty(file);
  const [pid = '', start = ''] = seen.trim().split(' ');
  if (seen !== '' && processStart(Number(pid)) === start) {
    throw new EmbeddedPostgresError(
      'IN_USE',
      `Process ${pid} is already running the database in ${directory}. Stop it first, or use another directory.`,
    );
  }
  // Two newcomers may both see the left-over: what is moved away must be what was judged, else it is put back.
  const aside = join(directory, `owner.${randomUUID()}`);
  try {
    await rename(file, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if ((await readOrEmpty(aside)) !== seen) await link(aside, file).catch(() => {});
  await rm(aside, { force: true });
}

async function readOrEmpty(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
