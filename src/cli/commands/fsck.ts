import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { fastHasher } from '../../merkle/fast.ts';
import { NotaryError } from '../../notary/error.ts';
import { type FsckReport, fsck } from '../../notary/fsck.ts';
import { createSeedSigning } from '../../notary/seed-signing.ts';
import { StorageError } from '../../notary/storage.ts';
import { createPostgresStorage } from '../../postgres/storage.ts';
import { Mistakes, readSettings, requireGiven } from '../config/read-settings.ts';
import { judgeSeed } from '../config/seed.ts';
import { SETTINGS_OF } from '../config/settings.ts';
import { CliError } from '../error.ts';
import { addSettings, JSON_OPTION, parseUuid, sourcesOf } from '../options.ts';
import { report, type Terminal } from '../terminal.ts';

interface FsckCommandOptions {
  readonly cluster?: string;
  readonly json?: true;
}

export function defineFsck(program: Command, terminal: Terminal): void {
  const command = program
    .command('fsck')
    .description('read the database, recompute everything, and say what is wrong first')
    .option('--cluster <id>', 'only this cluster', parseUuid)
    .option(...JSON_OPTION);
  addSettings(command, SETTINGS_OF.fsck)
    .addHelpText(
      'after',
      `
Recomputes every root from its leaves, every record, log node, head and mac, and the order of times. Needs the master seed
for the macs, writes nothing, and can run beside a server. It cannot see a tail that was cut off cleanly, heads and all:
whoever holds a newer checkpoint can. Exit code 0: everything is right, 1: something is wrong, and where.

Examples:
  $ quartermaster fsck --seed-file seed --database-url postgres://quartermaster_app@db.example.org/notary
  $ quartermaster fsck --cluster 0198c7a0-5f6e-7d2c-9b1a-3e4f5a6b7c8d --json`,
    )
    .action(async ({ cluster, json }: FsckCommandOptions) => {
      const result = await check(load(command, terminal), cluster);
      const { finding } = result;
      report(terminal, json === true, { ok: finding === undefined, ...result }, describe(result));
      if (finding !== undefined) {
        throw new CliError('REFUSED', `cluster ${finding.clusterId}, ${finding.where}: ${finding.what}`);
      }
    });
}

interface FsckConfiguration {
  readonly databaseUrl: string;
  readonly namedStatements: boolean;
  readonly masterSeed: Uint8Array;
}

function load(command: Command, terminal: Terminal): FsckConfiguration {
  const mistakes = new Mistakes();
  const sources = sourcesOf(command, SETTINGS_OF.fsck, terminal);
  const settings = readSettings(SETTINGS_OF.fsck, sources, mistakes);
  const masterSeed = judgeSeed(settings, sources, readFileSync, mistakes);
  const { databaseUrl, namedStatements } = settings;
  requireGiven('databaseUrl', sources, mistakes);
  if (
    databaseUrl === undefined ||
    namedStatements === undefined ||
    masterSeed === undefined ||
    mistakes.lines.length > 0
  ) {
    throw mistakes.toError();
  }
  return { databaseUrl, namedStatements, masterSeed };
}

async function check(
  { databaseUrl, namedStatements, masterSeed }: FsckConfiguration,
  clusterId: string | undefined,
): Promise<FsckReport> {
  const storage = createPostgresStorage({ databaseUrl, namedStatements });
  try {
    return await fsck({ storage, signing: createSeedSigning(masterSeed), hasher: fastHasher, clusterId });
  } catch (error) {
    if (error instanceof NotaryError || error instanceof StorageError) {
      throw new CliError('FAILED', error.message, { cause: error });
    }
    throw error;
  } finally {
    await storage.close();
  }
}

function describe({ clusters, entries, leaves, finding }: FsckReport): string {
  const counted = `${clusters} clusters, ${entries} log entries, ${leaves} leaves`;
  return finding === undefined ? `everything is right: ${counted}` : `right so far: ${counted}`;
}
