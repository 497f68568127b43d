import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { lockFile } from '../../src/cli/file-lock.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const directory = temporaryDirectory();

test('a second holder is refused while the first lives, and told who it is', () => {
  const path = join(directory, 'one.lock');
  const unlock = lockFile(path, 'the manifest x');
  expect(() => lockFile(path, 'the manifest x')).toThrow(
    `the manifest x is in use by process ${process.pid} (${path})`,
  );
  unlock();
  lockFile(path, 'the manifest x')();
  expect(existsSync(path)).toBe(false);
});

test('the lock of a process that is dead is taken over, and nothing is left lying about', () => {
  const path = join(directory, 'two.lock');
  lockFile(path, 'it');
  const { pid } = spawnSync(process.execPath, ['--version']);
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), pid }));
  lockFile(path, 'it')();
  expect(readdirSync(directory)).toEqual([]);
});

test('a pid that was given to another process since does not hold the lock', () => {
  const path = join(directory, 'three.lock');
  const unlock = lockFile(path, 'it');
  const holder = JSON.parse(readFileSync(path, 'utf8'));
  unlock();
  // Only where the system says when a process began can the two be told apart.
  if (holder.began === '') return;
  writeFileSync(path, JSON.stringify({ ...holder, began: '1' }));
  lockFile(path, 'it')();
});

test('the lock of another machine is left alone', () => {
  const path = join(directory, 'four.lock');
  writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere', began: '', id: '' }));
  expect(() => lockFile(path, 'it')).toThrow(/process 1 on elsewhere; remove the file if that is gone/);
});
