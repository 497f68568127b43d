// The command lines of `npm run bench`, `chaos`, `fuzz` and `soak`: one kind of help, and one line for a mistake.

import { Command } from 'commander';

const WRONG_USAGE = 2;

/** @param script its name in package.json, after which npm needs `--` before options */
export function developerCommand(script: string, description: string): Command {
  return new Command(`npm run ${script} --`)
    .description(description)
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : WRONG_USAGE));
}
