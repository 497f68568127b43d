import { describe, expect, test } from '@jest/globals';
import { parseEntry } from '../../src/cli/anchoring/manifest-entry.ts';
import { ManifestRecovery } from '../../src/cli/anchoring/recover-manifest.ts';
import { CliError } from '../../src/cli/error.ts';

// Seen red with the shapes in a plain object: its prototype's functions were asked whether the entry is one.
describe('an entry whose type is a name that every object knows', () => {
  const types = ['valueOf', 'toString', 'hasOwnProperty', 'constructor', '__proto__', 'line'];

  test.each(types)('%s is no entry', (type) => {
    expect(parseEntry(JSON.stringify({ type, line: 1 }))).toBeUndefined();
  });

  test.each(types)('%s at the beginning is no manifest', (type) => {
    const recovery = new ManifestRecovery('the file');
    expect(() => recovery.push(JSON.stringify({ type }), 1)).toThrow(CliError);
  });
});
