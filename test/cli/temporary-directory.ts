import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';

/** A directory that is gone when the test file ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'quartermaster-cli-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
