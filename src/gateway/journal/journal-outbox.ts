import type { Outbox } from '../outbox.ts';
import { nodeFiles } from './file-system.ts';
import { JournalOutbox } from './journal.ts';
import { checkJournalOptions, type JournalOptions } from './journal-options.ts';

/**
 * Keeps leaves in files: what `submit` took is on disk, and survives the process and the machine.
 *
 * One process at a time uses a directory; the next one goes on where it ended, however it ended. The directory is made where
 * the one above it is there; its files are for their owner only.
 *
 * @throws {GatewayError} BAD_OPTIONS
 *
 * @example
 * const gateway = createGateway({
 *   endpoint,
 *   clusterId,
 *   outbox: journalOutbox({ directory: '/var/lib/my-gateway/outbox' }),
 * });
 */
export function journalOutbox(options: JournalOptions): Outbox {
  return new JournalOutbox(checkJournalOptions(options), nodeFiles);
}
