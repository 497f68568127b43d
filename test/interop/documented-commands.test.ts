import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { temporaryDirectory } from '../cli/temporary-directory.ts';
import { type ServerProcess, startServerProcess } from '../integration/server-process.ts';
import { openTestDatabase, type TestDatabase } from '../support/database.ts';
import { goBuild } from './go-build.ts';

// docs/verify-with-other-tools.md, followed to the letter by somebody in an empty folder who has a line of a log.
// Seen red: with another name of an option in the document; with another version of a module that does not exist.

const CHECKOUT = join(import.meta.dirname, '../..');
const LOG = 'alice logged in 8f1c\nbob read /etc/passwd 77aa\ncarol logged out 03d2\n';

const page = readFileSync(join(CHECKOUT, 'docs/verify-with-other-tools.md'), 'utf8');
const [anchoring, program, checking, asking, ...more] = [
  ...page.matchAll(/^```(?:sh|go)\n(.*?)^```\n/gms),
].map(([, block]) => block);

const directory = temporaryDirectory();
let database: TestDatabase;
let server: ServerProcess;
let environment: NodeJS.ProcessEnv;
beforeAll(async () => {
  database = await openTestDatabase();
  server = await startServerProcess({
    databaseUrl: database.databaseUrl,
    environment: { QUARTERMASTER_REFLECTION: 'true' },
  });
  const { cluster } = await server.registry.createCluster({ displayName: 'documented' });
  const installed = join(directory, 'bin');
  mkdirSync(installed);
  const command = `#!/bin/sh\nexec '${process.execPath}' '${join(CHECKOUT, 'bin/quartermaster.js')}' "$@"\n`;
  writeFileSync(join(installed, 'quartermaster'), command);
  chmodSync(join(installed, 'quartermaster'), 0o755);
  const path = [installed, await goBuild('go/tools', 'tool'), process.env.PATH];
  environment = {
    ...process.env,
    PATH: path.join(delimiter),
    CLUSTER: cluster!.clusterId,
    ENDPOINT: server.address,
  };
  writeFileSync(join(directory, 'audit.log'), LOG);
});
afterAll(async () => {
  await server.kill('SIGTERM');
  await database.close();
});

function shell(script: string): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile('sh', ['-ec', script], { cwd: directory, env: environment }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

describe('docs/verify-with-other-tools.md', () => {
  test('leads from a line of a log to what other people’s code says of it', async () => {
    expect(more).toEqual([]);
    expect(await shell(anchoring!)).toMatchObject({ code: 0 });
    writeFileSync(join(directory, 'main.go'), program!);
    const checked = await shell(checking!);
    expect(checked).toMatchObject({ code: 0 });
    const [entry, leaf] = checked.out.trimEnd().split('\n');
    expect(entry).toMatch(
      /^entry 0 of the 1 of log\.example\.org\/integration\/[-0-9a-f]{36} is \{"anchor_id":/,
    );
    expect(leaf).toBe('the text is leaf 1 of its 3');

    const other = await shell(`go run . line-2.tlog-proof log.vkey 'bob read /etc/shadow 77aa'`);
    expect(other.code).not.toBe(0);
    expect(other.err).toContain('invalid transparency proof');

    const asked = await shell(asking!);
    expect(asked).toMatchObject({ code: 0 });
    expect(asked.out).toContain('rpc CreateAnchor');
    const { checkpoint } = JSON.parse(asked.out.slice(asked.out.indexOf('\n{'))) as { checkpoint: string };
    expect(readFileSync(join(directory, 'line-2.tlog-proof'), 'utf8')).toContain(checkpoint);
  });
});
