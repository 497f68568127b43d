import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';

/** Names of directories that are not there yet, all gone when the test file ends. */
export function journalDirectories(): () => string {
  const above = mkdtempSync(join(tmpdir(), 'quartermaster-journal-'));
  afterAll(() => rmSync(above, { recursive: true, force: true }));
  let count = 0;
  return () => join(above, `journal-${count++}`);
}
