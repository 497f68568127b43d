import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { lockFile } from '../../src/cli/file-lock.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const directory = temporaryDirectory();

// Red when the error of the lock itself comes through: exit codes and messages are made of CliErrors.
test('a command that finds its lock taken, or that can make none, says so as a command', () => {
  const unlock = lockFile(join(directory, 'one.lock'), 'the manifest x');
  expect(() => lockFile(join(directory, 'one.lock'), 'the manifest x')).toThrow(
    expect.objectContaining({ name: 'CliError', code: 'IN_USE' }),
  );
  unlock();
  expect(() => lockFile(join(directory, 'nowhere', 'x.lock'), 'the manifest x')).toThrow(
    expect.objectContaining({ name: 'CliError', code: 'FAILED' }),
  );
});
