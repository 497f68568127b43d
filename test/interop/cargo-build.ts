import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** Outside the sources, and gone with `node_modules`. */
const CACHE = join(import.meta.dirname, '../../node_modules/.cache');

/** Builds a crate, with the versions of its Cargo.lock. @returns the program. Again is quick. */
export async function buildCrate(directory: string, name: string): Promise<string> {
  const target = join(CACHE, name);
  const cargo = spawn(findCargo(), ['build', '--locked', '--quiet', '--target-dir', target], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  cargo.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const code = await new Promise((resolve, reject) => cargo.once('error', reject).once('close', resolve));
  if (code !== 0) throw new Error(`cargo build of ${name} ended with ${code}:\n${stderr}`);
  return join(target, 'debug', name);
}

function findCargo(): string {
  const home = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const directories = [...(process.env.PATH ?? '').split(delimiter), join(home, 'bin')];
  const found = directories.map((directory) => join(directory, 'cargo')).find((file) => existsSync(file));
  if (found === undefined)
    throw new Error(`no cargo on PATH nor in ${home}/bin: run this below scripts/with-rust`);
  return found;
}
