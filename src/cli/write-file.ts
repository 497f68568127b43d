import { randomUUID } from 'node:crypto';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CliError, codeOf } from './error.ts';

/** Writes a file that appears whole or not at all; replaces one that is there. */
export async function writeWhole(path: string, content: string): Promise<void> {
  await writing(path, 0o644, content, (draft) => rename(draft, path));
}

/**
 * Writes a secret that only its owner may read, and never over anything.
 *
 * @throws {CliError} FAILED where something is there already
 */
export async function writeSecretOnce(path: string, content: string): Promise<void> {
  // Linking, unlike renaming, fails where the name is taken.
  await writing(path, 0o600, content, async (draft) => {
    await link(draft, path);
    await rm(draft);
  });
}

async function writing(
  path: string,
  mode: number,
  content: string,
  publish: (draft: string) => Promise<void>,
): Promise<void> {
  const draft = `${path}.${randomUUID()}.draft`;
  try {
    const file = await open(draft, 'wx', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await publish(draft);
    const directory = await open(dirname(path), 'r');
    await directory.sync().finally(() => directory.close());
  } catch (error) {
    await rm(draft, { force: true });
    const code = codeOf(error);
    throw new CliError(
      'FAILED',
      code === 'EEXIST'
        ? `${path} exists already and is not overwritten`
        : `cannot write ${path}: ${String(error)}`,
      { cause: error },
    );
  }
}
