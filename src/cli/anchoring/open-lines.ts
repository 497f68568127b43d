import { type FileHandle, open } from 'node:fs/promises';
import { CliError } from '../error.ts';

/** Opens a file whose lines can be read again at their offsets, which a pipe's cannot. */
export async function openLines(path: string): Promise<{ readonly file: FileHandle; readonly size: number }> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw new CliError('USAGE', `cannot open ${path}: ${String(error)}`, { cause: error });
  }
  const stats = await file.stat();
  if (!stats.isFile()) {
    await file.close();
    throw new CliError('USAGE', `${path} is no regular file`);
  }
  return { file, size: stats.size };
}
