import type { JournalFiles } from '../../../src/gateway/journal/file-system.ts';
import { JournalOutbox } from '../../../src/gateway/journal/journal.ts';
import type { JournalLimits } from '../../../src/gateway/journal/journal-options.ts';
import type { GatewayLogger } from '../../../src/gateway/logger.ts';
import type { Outbox, OutboxContext } from '../../../src/gateway/outbox.ts';
import { contextOf } from '../outbox-contract.ts';

export const DIRECTORY = '/journal';

/** What the outbox said to its operator. */
export interface Said {
  readonly level: 'info' | 'warn' | 'error';
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

export class ListeningLog implements GatewayLogger {
  readonly said: Said[] = [];
  info(fields: object, message: string): void {
    this.said.push({ level: 'info', fields: { ...fields }, message });
  }
  warn(fields: object, message: string): void {
    this.said.push({ level: 'warn', fields: { ...fields }, message });
  }
  error(fields: object, message: string): void {
    this.said.push({ level: 'error', fields: { ...fields }, message });
  }
}

export interface OpenJournal {
  readonly outbox: Outbox;
  readonly log: ListeningLog;
  readonly checkpoints: readonly string[];
}

/** A journal over a file system of a test, opened. */
export async function openJournal(
  files: JournalFiles,
  limits: Partial<JournalLimits> = {},
  context: Partial<OutboxContext> = {},
): Promise<OpenJournal> {
  const log = new ListeningLog();
  const outbox = new JournalOutbox(
    {
      directory: DIRECTORY,
      maxLeaves: 1_000_000,
      maxBytes: 1 << 30,
      segmentBytes: 1 << 20,
      isSynced: true,
      ...limits,
    },
    files,
  );
  const { checkpoints } = await outbox.open(contextOf({ log, ...context }));
  return { outbox, log, checkpoints };
}
