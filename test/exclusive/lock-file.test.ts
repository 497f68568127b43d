import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { lockFile } from '../../src/exclusive/lock-file.ts';
import { processStart } from '../../src/exclusive/running-process.ts';
import { temporaryDirectory } from '../cli/temporary-directory.ts';

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
  writeFileSync(path, JSON.stringify({ ...holder, began: '1' }));
  lockFile(path, 'it')();
});

// Seen red with kill(pid, 0) alone, which finds the dead where nothing reaps orphans, as in many containers.
test('a process that has ended and was not reaped does not hold the lock', async () => {
  if (process.platform !== 'linux') return;
  // The shell becomes a program that knows of no child.
  const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const path = join(directory, 'zombie.lock');
  try {
    const [pid = 0] = (await once(parent.stdout, 'data')).map(Number);
    const began = processStart(pid);
    const unlock = lockFile(path, 'it');
    const holder = JSON.parse(readFileSync(path, 'utf8'));
    unlock();
    writeFileSync(path, JSON.stringify({ ...holder, pid, began }));
    expect(() => lockFile(path, 'it')).toThrow(`it is in use by process ${pid}`);
    process.kill(pid, 'SIGKILL');
    while (processStart(pid) !== undefined) await new Promise(setImmediate);
    expect(process.kill(pid, 0)).toBe(true);
    lockFile(path, 'it')();
  } finally {
    parent.kill('SIGKILL');
    await once(parent, 'close');
  }
});

test('the lock of another machine is left alone', () => {
  const path = join(directory, 'four.lock');
  writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere', began: '', id: '' }));
  expect(() => lockFile(path, 'it')).toThrow(/process 1 on elsewhere; remove the file if that is gone/);
});

// Seen red when the system's own error came through, with the name of a draft that nobody had asked for.
test('where no lock can be made it is said of what', () => {
  const path = join(directory, 'no such directory', 'x.lock');
  expect(() => lockFile(path, 'the manifest x')).toThrow(
    expect.objectContaining({
      code: 'FAILED',
      message: expect.stringContaining(`the manifest x with ${path}`),
    }),
  );
});
