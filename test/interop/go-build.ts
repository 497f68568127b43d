import { execFile } from 'node:child_process';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** Outside the sources, and gone with `node_modules`. */
const CACHE = join(import.meta.dirname, '../../node_modules/.cache/interop-go');

const run = promisify(execFile);

/** Runs `go` in a folder beside this file, or at an absolute path. @returns what it printed @throws with what it said */
export async function go(
  directory: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { stdout } = await run('go', argv, {
    cwd: resolve(import.meta.dirname, directory),
    env: { ...process.env, ...environment },
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}

/**
 * Builds programs with the versions, and the checksums, of the module in that folder; does nothing where they are built
 * already. @param packages import paths, `.`, or `tool` for those that go.mod names @returns the folder that they are in
 */
export async function goBuild(directory: string, packages: string): Promise<string> {
  await go(directory, ['build', '-mod=readonly', '-o', `${CACHE}/`, packages]);
  return CACHE;
}
