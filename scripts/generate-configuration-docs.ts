// Writes docs/configuration.md from the table of settings; with --check only says (exit 1) whether it is stale.

import { readFileSync, writeFileSync } from 'node:fs';
import { describeConfiguration } from '../src/cli/config/documentation.ts';

const file = new URL('../docs/configuration.md', import.meta.url);
const expected = describeConfiguration();

if (process.argv.includes('--check')) {
  let written = '';
  try {
    written = readFileSync(file, 'utf8');
  } catch {
    // Missing is as stale as can be.
  }
  if (written !== expected) {
    process.stderr.write('docs/configuration.md is stale: run npm run generate\n');
    process.exitCode = 1;
  }
} else {
  writeFileSync(file, expected);
}
