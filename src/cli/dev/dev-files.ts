// What `dev` keeps beside its Postgres: the signing seed and a sample log.

import { randomBytes } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import { MASTER_SEED_SIZE } from '../../note/index.ts';
import { parseSeed, ValueError } from '../config/values.ts';
import { CliError } from '../error.ts';
import { writeSecretOnce, writeWhole } from '../write-file.ts';

/** Reads the seed, or makes one, for its owner's eyes alone. */
export async function readOrMakeSeed(
  path: string,
): Promise<{ readonly seed: Uint8Array; readonly isNew: boolean }> {
  const isNew = !(await exists(path));
  if (isNew) await writeSecretOnce(path, `${randomBytes(MASTER_SEED_SIZE).toString('hex')}\n`);
  try {
    return { seed: parseSeed(await readFile(path, 'utf8')), isNew };
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new CliError('FAILED', `${path} holds no seed: ${error.message}`, { cause: error });
  }
}

/** Something to try the commands on. It stays as it is from then on, so that it can be changed and caught at it. */
export async function makeSampleLog(path: string): Promise<void> {
  if (!(await exists(path))) await writeWhole(path, SAMPLE_LOG);
}

const SAMPLE_LOG = [
  { id: '5f1d0c52-0f4b-4c0e-8a55-0d6f7f0c2f11', user: 'ada', action: 'login', from: '192.0.2.7' },
  { id: '9b6e2f04-73f5-4a8e-9d0b-3c1f8a2b7e22', user: 'ada', action: 'secret.read', path: 'prod/db' },
  { id: 'c2a7d9e8-1b3f-4f60-b7a4-6e5d4c3b2a33', user: 'bob', action: 'ssh.open', host: 'bastion-1' },
  { id: 'e8f0a1b2-5c6d-4e7f-8091-a2b3c4d5e644', user: 'ada', action: 'logout' },
]
  .map((event) => `${JSON.stringify(event)}\n`)
  .join('');

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
