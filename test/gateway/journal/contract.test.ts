import { rm } from 'node:fs/promises';
import { journalOutbox } from '../../../src/gateway/journal/journal-outbox.ts';
import { describeOutbox } from '../outbox-contract.ts';
import { journalDirectories } from './journal-directory.ts';

const newDirectory = journalDirectories();

describeOutbox('journal', {
  isDurable: true,
  isBounded: true,
  async create(limits) {
    const directory = newDirectory();
    return {
      outbox: () => journalOutbox({ directory, ...limits }),
      destroy: () => rm(directory, { recursive: true, force: true }),
    };
  },
});
