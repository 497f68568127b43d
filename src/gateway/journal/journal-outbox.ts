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
 * A disk that is full or fails refuses leaves (OUTBOX_FAILED) until it does not: nothing has to be started again. What was refused
 * is cut off; only where the disk does not even let that be done, and the process ends before another write succeeds, it may be
 * found by the next one and be anchored after all.
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
