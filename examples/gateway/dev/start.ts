// Tries the service in this checkout: on a Postgres from npm, with the notary of `npm start` in the root. Not for copying: a
// service of yours starts with src/main.ts, and is told its settings by whoever operates it.

import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseEnv, promisify } from 'node:util';
import { startEmbeddedPostgres } from '../../../src/cli/dev/embedded-postgres.ts';
import { readConfiguration } from '../src/configuration.ts';
import { serve } from '../src/serve.ts';

const directory = process.env.DEV_DIRECTORY || '.dev';
const settingsFile = join(directory, 'env');

await mkdir(directory, { recursive: true, mode: 0o711 });
const postgres = await startEmbeddedPostgres({
  directory: join(directory, 'postgres'),
  port: 54_330,
  log: (message) => console.log(message),
});
try {
  const settings = { ...(await notaryOfFirstStart()), DATABASE_URL: postgres.superuserUrl };
  // For examples/verify, which pins the same keys.
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  await writeFile(settingsFile, lines.join(''), { mode: 0o600 });
  await serve(readConfiguration({ ...settings, ...process.env }));
} finally {
  await postgres.stop();
}

/** Asked once and kept: from then on the notary need not be there at start, and another one is not believed. */
async function notaryOfFirstStart(): Promise<NodeJS.Dict<string>> {
  const kept = await readFile(settingsFile, 'utf8').catch(() => undefined);
  if (kept !== undefined) return parseEnv(kept);
  const endpoint = process.env.NOTARY_ENDPOINT || '127.0.0.1:50051';
  const quartermaster = async (...argv: string[]): Promise<string> => {
    const command = promisify(execFile)('quartermaster', [...argv, '--endpoint', endpoint]);
    return (await command).stdout.trim();
  };
  const clusters = (await quartermaster('cluster', 'list', '--json')).split('\n');
  const demo = clusters.map((line) => JSON.parse(line)).find(({ display_name }) => display_name === 'demo');
  if (demo === undefined) throw new Error(`the notary at ${endpoint} has no cluster demo`);
  return {
    NOTARY_ENDPOINT: endpoint,
    NOTARY_CLUSTER_ID: demo.cluster_id,
    NOTARY_KEYS: (await quartermaster('key', 'show', '--cluster', demo.cluster_id)).replaceAll('\n', ' '),
  };
}
