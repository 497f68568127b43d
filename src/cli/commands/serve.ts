import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { loadServeConfiguration } from '../config/serve-configuration.ts';
import { SETTINGS_OF } from '../config/settings.ts';
import { addSettings, sourcesOf } from '../options.ts';
import { createLogger, writingOnceATurn } from '../serving/logger.ts';
import { untilSignal } from '../serving/signals.ts';
import { startServing } from '../serving/start-serving.ts';
import type { Terminal } from '../terminal.ts';

export function defineServe(program: Command, terminal: Terminal): void {
  const command = program.command('serve').description('run the server');
  addSettings(command, SETTINGS_OF.serve)
    .addHelpText(
      'after',
      `
The master seed comes from QUARTERMASTER_SEED or --seed-file; without one the server does not start. Logs are JSON lines on
stdout. SIGTERM and SIGINT end it in order: health says NOT_SERVING, calls in flight are answered, exit code 0; a second
signal ends it at once, exit code 1.

Example:
  $ quartermaster key generate --out seed
  $ export QUARTERMASTER_DATABASE_URL=postgres://quartermaster_app:secret@db.example.org/notary
  $ quartermaster serve --seed-file seed --origin-prefix log.example.org/quartermaster`,
    )
    .action(async () => {
      const configuration = loadServeConfiguration(
        sourcesOf(command, SETTINGS_OF.serve, terminal),
        readFileSync,
      );
      const logger = createLogger(
        configuration.logLevel,
        writingOnceATurn((lines) => terminal.writeOut(lines)),
      );
      const signalled = untilSignal();
      const serving = await Promise.race([startServing(configuration, logger), signalled]);
      // Nothing was promised to anybody yet.
      if (typeof serving === 'string') return;
      logger.info({ address: serving.address, tls: configuration.tls !== undefined }, 'serving');
      logger.info({ signal: await signalled }, 'shutting down');
      await serving.stop();
      logger.info({}, 'stopped');
    });
}
