import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ChannelCredentials } from '@grpc/grpc-js';
import type { Command } from 'commander';
import { startAgent } from '../../agent/agent.ts';
import { type AgentConfiguration, loadAgentConfiguration } from '../config/agent-configuration.ts';
import { SETTINGS_OF } from '../config/settings.ts';
import { formatAddress } from '../config/values.ts';
import { CliError } from '../error.ts';
import { lockFile } from '../file-lock.ts';
import { addSettings, sourcesOf } from '../options.ts';
import { createLogger, writingOnceATurn } from '../serving/logger.ts';
import { untilSignal } from '../serving/signals.ts';
import type { Terminal } from '../terminal.ts';
import { defineDeadLetters } from './dead-letters.ts';

export function defineAgent(program: Command, terminal: Terminal): void {
  const command = program
    .command('agent')
    .description('run the gateway client as a process of its own, for gateways in any language')
    .enablePositionalOptions();
  addSettings(command, SETTINGS_OF.agent)
    .addHelpText('after', HELP)
    .action(async () => {
      const sources = sourcesOf(command, SETTINGS_OF.agent, terminal);
      const configuration = loadAgentConfiguration(sources, readFileSync);
      const logger = createLogger(
        configuration.logLevel,
        writingOnceATurn((lines) => terminal.writeOut(lines)),
      );
      const signalled = untilSignal();
      const unlock = lockSpool(configuration.spoolDirectory);
      try {
        const agent = await start(configuration, logger);
        const address = await agent.listen(configuration.agentListen).catch(async (error: unknown) => {
          await agent.stop(0);
          throw error;
        });
        const { keys, spoolDirectory: spool } = configuration;
        logger.info({ address, spool, keys: keys.length }, 'serving');
        logger.info({ signal: await signalled }, 'shutting down');
        await agent.stop(configuration.shutdownGraceMs);
        logger.info({}, 'stopped');
      } catch (error) {
        throw error instanceof CliError
          ? error
          : new CliError('FAILED', (error as Error).message, { cause: error });
      } finally {
        unlock();
      }
    });
  defineDeadLetters(command, terminal);
}

function start(configuration: AgentConfiguration, logger: ReturnType<typeof createLogger>) {
  const { trustedCertificates, maxMessageBytes, memoryBudgetBytes, maxCalls } = configuration;
  return startAgent({
    endpoint: formatAddress(configuration.endpoint),
    ...(trustedCertificates === undefined
      ? {}
      : { credentials: ChannelCredentials.createSsl(Buffer.from(trustedCertificates)) }),
    spool: {
      directory: configuration.spoolDirectory,
      maxBytes: configuration.spoolMaxBytes,
      retentionMs: configuration.spoolRetentionMs,
    },
    keys: configuration.keys,
    limits: { maxMessageBytes, memoryBudgetBytes, maxCalls },
    tryTimeoutMs: configuration.tryTimeoutMs,
    logger,
  });
}

function lockSpool(directory: string): () => void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new CliError('FAILED', `the spool ${directory} cannot be made: ${(cause as Error).message}`, {
      cause,
    });
  }
  return lockFile(join(directory, 'lock'), `the spool ${directory}`);
}

const HELP = `
Point the gateway at the agent instead of the notary: it speaks the same API. While the notary is there calls pass through.
While it is away CreateAnchor is kept in the spool, on disk, under a request_id, and answered once it is anchored; a caller
whose deadline is nearer is told UNAVAILABLE, and a retry of the same leaves finds the same batch. Reads pass through only.

SIGTERM and SIGINT end it in order, exit code 0: the spool keeps what is not anchored, for the next start. docs/agent.md says
more.

Example:
  $ quartermaster agent --listen unix:/run/quartermaster/agent.sock --endpoint notary.example.org:50051 --ca-file ca.pem \\
      --spool /var/lib/quartermaster-agent --key "$(cat log.vkey)"
  $ quartermaster agent dead-letters list --spool /var/lib/quartermaster-agent`;
