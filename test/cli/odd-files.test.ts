// Names that are given by mistake: pipes, directories, devices. Seen red without the O_NONBLOCK of open-regular.ts (the pipes
// hung for ever), without its isFile, and with a receipt that was read to its end.

import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { formatTlogProof } from '../../src/note/index.ts';
import { leavesOf, TestLog } from '../verify/test-log.ts';
import { CLUSTER } from './memory-notary.ts';
import { quartermaster } from './run-quartermaster.ts';
import { temporaryDirectory } from './temporary-directory.ts';

const directory = temporaryDirectory();
const file = join(directory, 'app.log');
writeFileSync(file, 'a\n');
const pipe = join(directory, 'pipe');
execFileSync('mkfifo', [pipe]);
const folder = join(directory, 'folder');
mkdirSync(folder);
const gone = join(directory, 'gone');

const log = new TestLog(CLUSTER, 3);
const leaves = leavesOf(1);
log.append(leaves);
const receipt = join(directory, 'leaf.tlog-proof');
writeFileSync(receipt, formatTlogProof(log.receipt(0, leaves, 0)));

const ODD = [pipe, folder, '/dev/zero', join(file, 'below')];
const NOBODY = ['--endpoint', '127.0.0.1:1'];

describe('a file that is none is a mistake of the command line, told at once', () => {
  test.each([...ODD, gone])('anchor --lines %s', async (path) => {
    const { code, err } = await quartermaster(['anchor', '--cluster', CLUSTER, '--lines', path, ...NOBODY]);
    expect(code).toBe(2);
    expect(err).toContain(path);
  });

  test.each([...ODD, gone])('prove --manifest %s', async (path) => {
    const argv = ['prove', '--manifest', path, '--line', '1', '--out', join(directory, 'new'), ...NOBODY];
    const { code, err } = await quartermaster(argv);
    expect(code).toBe(2);
    expect(err).toContain(`manifest ${path}`);
  });

  test.each([...ODD, gone])('verify --file %s', async (path) => {
    const argv = ['verify', '--receipt', receipt, '--key', log.vkey, '--file', path];
    const { code, err } = await quartermaster(argv);
    expect(code).toBe(2);
    expect(err).toContain(path);
  });

  test.each(ODD)('prove --out %s, which stays what it is', async (path) => {
    const argv = ['prove', '--manifest', gone, '--line', '1', '--out', path, ...NOBODY];
    const { code, err } = await quartermaster(argv);
    expect(code).toBe(2);
    expect(err).toContain(path);
    expect(lstatSync(pipe).isFIFO()).toBe(true);
  });
});

test('a receipt without end is refused for its length', async () => {
  const argv = ['verify', '--receipt', '/dev/zero', '--key', log.vkey, '--line-text', 'a'];
  const { code, err } = await quartermaster(argv);
  expect(code).toBe(1);
  expect(err).toMatch(/NOT verified \(TOO_LARGE\)/);
});
