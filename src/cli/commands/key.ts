import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { deriveKey, ed25519Vkey, formatVkey, MASTER_SEED_SIZE, publicKeyEd25519 } from '../../note/index.ts';
import { BRIEFLY } from '../client/call.ts';
import { connected } from '../client/connect.ts';
import { Mistakes, readSettings } from '../config/read-settings.ts';
import { judgeSeed } from '../config/seed.ts';
import { SETTINGS_OF } from '../config/settings.ts';
import { CliError } from '../error.ts';
import { checkNamedKeys } from '../log-keys.ts';
import {
  addSettings,
  clientConfigurationOf,
  JSON_OPTION,
  parseCount,
  parseUuid,
  sourcesOf,
} from '../options.ts';
import { notice, report, type Terminal } from '../terminal.ts';
import { writeSecretOnce } from '../write-file.ts';

export function defineKey(program: Command, terminal: Terminal): void {
  const key = program.command('key').description('make signing seeds, show verifier keys');
  defineGenerate(key, terminal);
  defineShow(key, terminal);
}

function defineGenerate(key: Command, terminal: Terminal): void {
  key
    .command('generate')
    .description('make a new master seed (32 random bytes, as hex) and print it, or write it to a file')
    .option('--out <file>', 'write it here instead, readable by its owner alone; never overwrites')
    .addHelpText(
      'after',
      `
Every cluster's signing key is derived from the master seed. Who has it can sign for the notary; without it no log can be
continued. Keep a copy where neither fire nor thieves reach.

Examples:
  $ quartermaster key generate --out /etc/quartermaster/seed
  $ QUARTERMASTER_SEED=$(quartermaster key generate) quartermaster serve ...`,
    )
    .action(async ({ out }: { readonly out?: string }) => {
      const seed = `${randomBytes(MASTER_SEED_SIZE).toString('hex')}\n`;
      if (out === undefined) terminal.writeOut(seed);
      else {
        await writeSecretOnce(out, seed);
        notice(terminal, `wrote a new master seed to ${out}; keep a copy of it`);
      }
    });
}

interface ShowOptions {
  readonly cluster: string;
  readonly originPrefix?: string;
  readonly epoch?: number;
  readonly json?: true;
}

const SHOW_SETTINGS = [...SETTINGS_OF.client, 'seedFile', 'seed'] as const;
const DERIVING = ['originPrefix', 'seed', 'seedFile'] as const;

function defineShow(key: Command, terminal: Terminal): void {
  const command = key
    .command('show')
    .description("print a cluster's verifier keys, one a line: what verifiers pin")
    .requiredOption('--cluster <id>', 'UUID of the cluster', parseUuid)
    .option('--origin-prefix <prefix>', 'derive the key from the master seed instead of asking the notary')
    .option('--epoch <number>', 'with --origin-prefix: which key, from 1', parseCount(1, 1_000_000))
    .option(...JSON_OPTION);
  addSettings(command, SHOW_SETTINGS)
    .addHelpText(
      'after',
      `
A verifier must get these keys from somebody it trusts, and compare them: a key that comes from the notary proves only that
the notary agrees with itself. With the master seed at hand they can be derived without network.

Examples:
  $ quartermaster key show --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d
  $ quartermaster key show --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --seed-file seed --origin-prefix log.example.org/quartermaster`,
    )
    .action(async (options: ShowOptions) => {
      const vkeys =
        options.originPrefix === undefined
          ? await askForKeys(command, options, terminal)
          : [deriveVkey(command, options, terminal)];
      report(terminal, options.json === true, { cluster_id: options.cluster, vkeys }, vkeys.join('\n'));
    });
}

async function askForKeys(
  command: Command,
  options: ShowOptions,
  terminal: Terminal,
): Promise<readonly string[]> {
  if (options.epoch !== undefined || command.opts<{ seedFile?: string }>().seedFile !== undefined) {
    throw new CliError('USAGE', '--seed-file and --epoch derive a key, and go with --origin-prefix');
  }
  const configuration = clientConfigurationOf(command, terminal);
  const { keys } = await connected(
    configuration,
    (reason) => notice(terminal, reason),
    (connection) =>
      connection.call((call) => connection.notary.getLog({ clusterId: options.cluster }, call), BRIEFLY),
  );
  return checkNamedKeys(
    keys.map(({ vkey }) => vkey),
    options.cluster,
  );
}

function deriveVkey(command: Command, options: ShowOptions, terminal: Terminal): string {
  const mistakes = new Mistakes();
  const sources = sourcesOf(command, DERIVING, terminal);
  const settings = readSettings(DERIVING, sources, mistakes);
  const masterSeed = judgeSeed(settings, sources, readFileSync, mistakes);
  const { originPrefix } = settings;
  if (masterSeed === undefined || originPrefix === undefined || mistakes.lines.length > 0) {
    throw mistakes.toError();
  }
  const origin = `${originPrefix}/${options.cluster}`;
  const seed = deriveKey(masterSeed, 'log-ed25519', origin, options.epoch ?? 1);
  return formatVkey(ed25519Vkey(origin, publicKeyEd25519(seed)));
}
