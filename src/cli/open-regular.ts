import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { CliError, codeOf } from './error.ts';

/**
 * Opens a file that can be read again at any offset. Without O_NONBLOCK the open itself would wait for as long as a pipe has
 * nobody at its other end.
 *
 * @param what names it in messages, for example `the manifest app.log.manifest.jsonl`
 * @returns undefined where there is none
 * @throws {CliError} USAGE for what is no regular file or cannot be opened
 */
export async function openRegularIfThere(
  path: string,
  what: string,
  flags: number = constants.O_RDONLY,
): Promise<{ readonly file: FileHandle; readonly size: number } | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, flags | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new CliError('USAGE', `cannot open ${what}: ${String(error)}`, { cause: error });
  }
  const stats = await file.stat();
  if (!stats.isFile()) {
    await file.close();
    throw new CliError('USAGE', `${what} is no regular file`);
  }
  return { file, size: stats.size };
}

/** The same for a file that must be there. @throws {CliError} USAGE */
export async function openRegular(
  path: string,
  what: string = path,
): Promise<{ readonly file: FileHandle; readonly size: number }> {
  const opened = await openRegularIfThere(path, what);
  if (opened === undefined) throw new CliError('USAGE', `there is no ${what}`);
  return opened;
}
