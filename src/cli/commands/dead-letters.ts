import type { Command } from 'commander';
import { type DeadCall, deadCalls, reviveCall } from '../../agent/call-files.ts';
import { parseConfiguration } from '../config/read-settings.ts';
import { CliError, codeOf } from '../error.ts';
import { addSettings, JSON_OPTION, parseUuid, sourcesOf } from '../options.ts';
import { notice, printable, report, type Terminal } from '../terminal.ts';

const SETTINGS = ['spoolDirectory'] as const;

/** Calls that the notary refused for good while nobody waited for them. */
export function defineDeadLetters(agent: Command, terminal: Terminal): void {
  const letters = agent
    .command('dead-letters')
    .description('calls that the notary refused for good while nobody waited for them');
  defineList(letters, terminal);
  defineReplay(letters, terminal);
}

function defineList(letters: Command, terminal: Terminal): void {
  const command = letters
    .command('list')
    .description('show them, oldest first')
    .option(...JSON_OPTION);
  addSettings(command, SETTINGS)
    .addHelpText(
      'after',
      '\nExample:\n  $ quartermaster agent dead-letters list --spool /var/lib/quartermaster-agent',
    )
    .action(async ({ json }: { readonly json?: true }) => {
      const found = await read(directoryOf(command, terminal));
      for (const letter of found) {
        const told = describe(letter);
        report(
          terminal,
          json === true,
          told,
          `${told.request_id}  cluster ${told.cluster_id}  ${told.leaf_count} leaves  ${told.buried_at}  ` +
            `${told.status} ${told.reason}: ${printable(told.message)}`,
        );
      }
      if (found.length === 0) notice(terminal, 'no dead letters');
    });
}

function defineReplay(letters: Command, terminal: Terminal): void {
  const command = letters
    .command('replay')
    .description('have them sent again, once the reason is mended')
    .argument('[request-ids...]', 'which of them', (text: string, before: readonly string[] = []) => [
      ...before,
      parseUuid(text),
    ])
    .option('--all', 'all of them');
  addSettings(command, SETTINGS)
    .addHelpText(
      'after',
      `
They go back to the spool as they are, under the same request_ids, but without the known_checkpoint that they came with. An
agent that runs finds them within seconds, another one when it starts.

Example:
  $ quartermaster agent dead-letters replay --spool /var/lib/quartermaster-agent --all`,
    )
    .action(async (requestIds: readonly string[], { all }: { readonly all?: true }) => {
      if (requestIds.length > 0 === (all === true)) {
        throw new CliError('USAGE', 'name the dead letters to replay, or say --all');
      }
      const directory = directoryOf(command, terminal);
      const found = await read(directory);
      const chosen = all ? found : found.filter(({ header }) => requestIds.includes(header.requestId));
      const missing = requestIds.filter((id) => !chosen.some(({ header }) => header.requestId === id));
      if (missing.length > 0)
        throw new CliError('REFUSED', `no dead letter has the id ${missing.join(', ')}`);
      for (const letter of chosen) await reviveCall(directory, letter);
      terminal.writeOut(`${chosen.length === 1 ? 'one goes' : `${chosen.length} go`} again\n`);
    });
}

function directoryOf(command: Command, terminal: Terminal): string {
  return parseConfiguration(SETTINGS, sourcesOf(command, SETTINGS, terminal)).spoolDirectory;
}

async function read(directory: string): Promise<DeadCall[]> {
  try {
    return await deadCalls(directory);
  } catch (cause) {
    const what = codeOf(cause) === 'ENOENT' ? 'there is no spool' : 'its dead letters cannot be read';
    throw new CliError('FAILED', `${directory}: ${what} (${(cause as Error).message})`, { cause });
  }
}

function describe({ header, refusal, buriedAtMs }: DeadCall) {
  return {
    request_id: header.requestId,
    cluster_id: header.clusterId,
    leaf_count: header.leafCount,
    etcd_revision: String(header.etcdRevision),
    taken_at: new Date(header.takenAtMs).toISOString(),
    buried_at: new Date(buriedAtMs).toISOString(),
    status: refusal.status,
    reason: refusal.reason,
    message: refusal.message,
  };
}
