import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { type MigrateResult, migrate } from '../../postgres/migrate.ts';
import { parseConfiguration } from '../config/read-settings.ts';
import { SETTINGS_OF } from '../config/settings.ts';
import { addSettings, JSON_OPTION, sourcesOf } from '../options.ts';
import { notice, report, type Terminal } from '../terminal.ts';
import { untilReachable } from '../until-reachable.ts';

export function defineMigrate(program: Command, terminal: Terminal): void {
  const command = program
    .command('migrate')
    .description('create or upgrade the tables of a database')
    .option(...JSON_OPTION);
  addSettings(command, SETTINGS_OF.migrate)
    .addHelpText(
      'after',
      `
Runs as the role that owns the tables; the server runs as another, which may only add to them. Safe to run again, from
several places at once, and while servers of this version or the one before it are at work.

Example:
  $ QUARTERMASTER_MIGRATION_DATABASE_URL=postgres://owner:secret@db.example.org/notary quartermaster migrate`,
    )
    .action(async ({ json }: { readonly json?: true }) => {
      const configuration = parseConfiguration(
        SETTINGS_OF.migrate,
        sourcesOf(command, SETTINGS_OF.migrate, terminal),
        ['migrationDatabaseUrl'],
      );
      const result = await untilReachable(
        () =>
          migrate({
            databaseUrl: configuration.migrationDatabaseUrl,
            applicationRole: configuration.applicationRole,
            applicationPassword: configuration.applicationPassword,
            log: (message) => notice(terminal, message),
          }),
        { timeoutMs: configuration.databaseStartTimeoutMs, sleep, now: () => performance.now() },
      );
      report(terminal, json === true, result, describe(result));
    });
}

function describe({ applied, newer }: MigrateResult): string {
  if (newer.length > 0) {
    return `nothing done: the database is of a newer version of quartermaster (${newer.join(', ')})`;
  }
  return applied.length === 0 ? 'nothing to do: the tables are up to date' : `applied ${applied.join(', ')}`;
}
