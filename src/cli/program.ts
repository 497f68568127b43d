// The command line as a whole: every command, one kind of help, one place where errors become exit codes.

import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { defineAgent } from './commands/agent.ts';
import { defineAnchor } from './commands/anchor.ts';
import { defineBench } from './commands/bench.ts';
import { defineCluster } from './commands/cluster.ts';
import { defineDev } from './commands/dev.ts';
import { defineFsck } from './commands/fsck.ts';
import { defineKey } from './commands/key.ts';
import { defineMigrate } from './commands/migrate.ts';
import { defineProve } from './commands/prove.ts';
import { defineServe } from './commands/serve.ts';
import { defineVerify } from './commands/verify.ts';
import { SETTINGS } from './config/settings.ts';
import { codeOf, EXIT, type ExitCode, exitCodeOf } from './error.ts';
import type { Terminal } from './terminal.ts';

/** Runs one command line. @returns the exit code: 0 done or verified, 1 refused or failed, 2 wrong usage or configuration */
export async function run(argv: readonly string[], terminal: Terminal): Promise<ExitCode> {
  try {
    await defineProgram(terminal).parseAsync([...argv], { from: 'user' });
    return EXIT.done;
  } catch (error) {
    // Commander has written its own message, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    terminal.writeError(`quartermaster: ${describe(error, terminal.environment)}\n`);
    return exitCodeOf(error);
  }
}

function defineProgram(terminal: Terminal): Command {
  const program = new Command('quartermaster')
    .description('A notary for tamper-evident audit trails: signed Merkle anchors over gRPC, on Postgres.')
    .version(versionOfPackage(), '-V, --version', 'print the version')
    // Options belong to the command that they follow: a command and one below it may have the same.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.writeOut(text),
      writeErr: (text) => terminal.writeError(text),
    })
    .showHelpAfterError('(--help says more)')
    .addHelpText(
      'after',
      `
Exit codes: 0 done or verified, 1 refused or failed, 2 wrong usage or configuration.

Begin with:
  $ npx quartermaster dev`,
    );
  defineDev(program, terminal);
  defineServe(program, terminal);
  defineMigrate(program, terminal);
  defineKey(program, terminal);
  defineCluster(program, terminal);
  defineAnchor(program, terminal);
  defineProve(program, terminal);
  defineVerify(program, terminal);
  defineFsck(program, terminal);
  defineAgent(program, terminal);
  defineBench(program, terminal);
  return program;
}

function versionOfPackage(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

function describe(error: unknown, environment: Terminal['environment']): string {
  const level = environment[SETTINGS.logLevel.env];
  if (!(error instanceof Error)) return String(error);
  return level === 'debug' || level === 'trace'
    ? chainOf(error)
    : error.message || String(codeOf(error) ?? error);
}

/** With stacks and causes, for whoever asked for them. */
function chainOf(error: Error): string {
  const stack = error.stack ?? error.message;
  return error.cause instanceof Error ? `${stack}\ncaused by ${chainOf(error.cause)}` : stack;
}
