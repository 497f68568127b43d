import type { Command } from 'commander';
import { parseConfiguration } from '../config/read-settings.ts';
import { SETTINGS, SETTINGS_OF } from '../config/settings.ts';
import { nextSteps } from '../dev/next-steps.ts';
import { readableLine } from '../dev/readable-log.ts';
import { startDev } from '../dev/start-dev.ts';
import { CliError } from '../error.ts';
import { addSettings, sourcesOf } from '../options.ts';
import { createLogger } from '../serving/logger.ts';
import { untilSignal } from '../serving/signals.ts';
import type { Terminal } from '../terminal.ts';

export function defineDev(program: Command, terminal: Terminal): void {
  const command = program
    .command('dev')
    .description('run a notary to try things on: brings its own Postgres');
  addSettings(command, SETTINGS_OF.dev)
    .addHelpText(
      'after',
      `
Keeps its Postgres, a signing seed and a sample log in the data directory, creates a cluster named "demo", and prints
three commands to try. The seed in that directory is the only copy. For real use see "quartermaster serve".

Example:
  $ npx quartermaster dev`,
    )
    .action(async () => {
      const sources = sourcesOf(command, SETTINGS_OF.dev, terminal);
      const configuration = parseConfiguration(SETTINGS_OF.dev, sources);
      const say = (text: string): void => terminal.writeOut(`${text}\n`);
      const logger = createLogger(configuration.logLevel, (line) => terminal.writeOut(readableLine(line)));
      const signalled = untilSignal();
      const dev = await startDev({
        configuration,
        mayTakeOtherPort: !(sources.flags.listen ?? sources.environment[SETTINGS.listen.env]),
        logger,
        say,
      });
      say(`\nQuartermaster listens on ${dev.address}, cluster demo is ${dev.clusterId}\n`);
      say('Try next, in another terminal (on a log of your own, if you like):\n');
      for (const step of nextSteps(dev)) say(`  ${step}\n`);
      const reason = await Promise.race([signalled, dev.databaseEnded.then(() => undefined)]);
      if (reason !== undefined) say(`${reason}: stopping`);
      await dev.stop();
      if (reason === undefined) throw new CliError('FAILED', 'Postgres has ended; its log says why');
      say('stopped');
    });
}
